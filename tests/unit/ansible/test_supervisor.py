"""Which processes the modules take for a lab's, whatever its sockets and environments say."""

from __future__ import annotations

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

from ansible.module_utils import lab_supervisor
from tests.support.lab import wait_until
from tests.support.modules import run_module

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
def lying_socket(home: str, pid: int) -> Iterator[list[str]]:
    """A server in supervisord's place that names `pid`; it notes what it was asked."""
    asked: list[str] = []

    def answer(method: str, _arguments: object) -> object:
        asked.append(method)
        return {"supervisor.getPID": pid, "supervisor.shutdown": True}.get(method, xmlrpc.client.Fault(1, method))

    with _Liar(lab_supervisor.socket_of(home, "hub")) as server:
        server._dispatch = answer  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield asked
        server.shutdown()


def supervisord(home: str, **options: object):
    """A process that looks like an instance's supervisord."""
    script = Path(home, "supervisord")
    script.write_text("import time\nwhile True: time.sleep(1)\n")
    return running(sys.executable, str(script), "-c", f"{home}/supervisor/hub.conf", **options)


def stop(home: str) -> dict:
    return run_module("lab_supervisor", {"home": home, "instance": "hub", "state": "stopped", "timeout": 5})


def test_a_process_that_only_the_socket_names_is_left_alone(home: str) -> None:
    with running("sleep", "60") as victim, lying_socket(home, victim.pid) as asked:
        assert lab_supervisor.connect(home, "hub") is None
        assert asked == ["supervisor.getPID"]
        assert stop(home)["changed"] is False
        assert victim.poll() is None


def test_a_supervisord_without_its_socket_is_found_and_ended(home: str) -> None:
    with supervisord(home) as process:
        wait_until(lambda: lab_supervisor.supervisors_of(home, "hub"), 10, "it is seen")
        assert stop(home)["changed"] is True
        wait_until(lambda: process.poll() is not None, 10, "it ended")
        assert stop(home)["changed"] is False


def test_a_service_is_found_by_its_mark(home: str) -> None:
    with running("sleep", "60", env={"LAB_SERVICE": f"{home}:hub/gateway"}) as process:
        wait_until(lambda: lab_supervisor.processes_of(home, "hub") == [process.pid], 10, "it is seen")
        assert lab_supervisor.processes_of(home, "notebook") == []


@as_root
def test_what_another_account_runs_is_no_service_of_the_lab(home: str) -> None:
    os.chown(f"{home}/run/hub", 65534, 65534)
    marked = {"LAB_SERVICE": f"{home}:hub/gateway"}
    with supervisord(home) as process, running("sleep", "60", env=marked) as service:
        wait_until(lambda: Path(f"/proc/{service.pid}/environ").read_bytes(), 10, "it runs")
        with lying_socket(home, process.pid) as asked:
            assert lab_supervisor.connect(home, "hub") is None
            assert asked == []
        assert stop(home)["changed"] is False
        lab_supervisor.end([process.pid, service.pid], 0, 65534)
        assert process.poll() is None
        assert service.poll() is None
