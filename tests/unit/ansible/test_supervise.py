"""Which processes are taken for a lab's, whatever its sockets and environments say."""

from __future__ import annotations

import importlib.util
import os
import socketserver
import subprocess
import sys
import threading
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from tests.support.lab import ROOT, wait_until

SCRIPT = ROOT / "ansible/roles/service/files/supervise.py"
_specification = importlib.util.spec_from_file_location("supervise", SCRIPT)
assert _specification
assert _specification.loader
supervise = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(supervise)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have a process of another account")


class _Handler(SimpleXMLRPCRequestHandler):
    def address_string(self) -> str:
        return "unix"

    def log_request(self, *_: object) -> None:
        pass

    disable_nagle_algorithm = False


class _Liar(socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    def __init__(self, path: str):
        SimpleXMLRPCDispatcher.__init__(self)
        socketserver.UnixStreamServer.__init__(self, path, _Handler)


@pytest.fixture
def home(tmp_path: Path) -> str:
    for folder in ("run/hub", "supervisor"):
        (tmp_path / folder).mkdir(parents=True)
    return str(tmp_path)


@pytest.fixture
def conf(home: str) -> str:
    return f"{home}/supervisor/hub.conf"


@contextmanager
def running(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    # Reaped as soon as it ends, as by the init process: one that is only dead still has its account.
    threading.Thread(target=process.wait, daemon=True).start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def lying_socket(conf: str, pid: int) -> Iterator[list[str]]:
    """A server in supervisord's place that names `pid`; it notes what it was asked."""
    asked: list[str] = []

    def answer(method: str, _arguments: object) -> object:
        asked.append(method)
        return {"supervisor.getPID": pid, "supervisor.shutdown": True}.get(method, xmlrpc.client.Fault(1, method))

    with _Liar(str(supervise.socket_of(conf))) as server:
        server._dispatch = answer  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield asked
        server.shutdown()


def supervisord(conf: str, **options: object):
    """A process that looks like the supervisord of a configuration."""
    return running("/bin/sh", "-c", "while :; do sleep 1; done", "supervisord", "-c", conf, **options)


def stop(conf: str) -> list[int]:
    """The processes that were stopped."""
    done = subprocess.run([sys.executable, SCRIPT, "stop", conf, "5"], capture_output=True, text=True, check=True)
    return [int(process) for process in done.stdout.split()]


def test_a_process_that_only_the_socket_names_is_left_alone(conf: str) -> None:
    with running("sleep", "60") as victim, lying_socket(conf, victim.pid) as asked:
        assert supervise.connect(conf) is None
        assert asked == ["supervisor.getPID"]
        assert stop(conf) == []
        assert victim.poll() is None


def test_a_supervisord_without_its_socket_is_found_and_ended(conf: str) -> None:
    with supervisord(conf) as process:
        wait_until(lambda: supervise.supervisors(conf), 10, "it is seen")
        assert stop(conf) == [process.pid]
        wait_until(lambda: process.poll() is not None, 10, "it ended")
        assert stop(conf) == []


def test_what_a_killed_supervisord_left_is_found_by_its_mark(home: str, conf: str) -> None:
    with running("sleep", "60", env={"LAB_SERVICE": f"{home}:hub/gateway"}) as process:
        wait_until(lambda: supervise.marked(f"{home}:hub/", whole=False) == [process.pid], 10, "it is seen")
        assert supervise.marked(f"{home}:hub/gate", whole=True) == []
        assert stop(conf.replace("hub.conf", "notebook.conf")) == []
        assert stop(conf) == [process.pid]


@as_root
def test_what_another_account_runs_is_no_service_of_the_lab(home: str, conf: str) -> None:
    marked = {"LAB_SERVICE": f"{home}:hub/gateway"}
    with supervisord(conf, user=65534) as process, running("sleep", "60", env=marked, user=65534) as service:
        wait_until(lambda: Path(f"/proc/{service.pid}/environ").read_bytes(), 10, "it runs")
        assert stop(conf) == []
        assert process.poll() is None
        assert service.poll() is None
