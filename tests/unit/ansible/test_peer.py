"""Who holds a port or takes a connection, by the kernel's word."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible.module_utils import lab_host, lab_peer
from tests.support.lab import free_ports, wait_until
from tests.support.modules import run_module
from tests.support.strangers import http_stranger

OWN = {os.geteuid()}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have a process of another account")


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def server(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A server that accepts, bound in one of the ways that take a connection to 127.0.0.1."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    listener = socket.create_server((request.param, 0), family=family, dualstack_ipv6=family == socket.AF_INET6)
    taken = []

    def accept() -> None:
        try:
            while True:
                taken.append(listener.accept())
        except OSError:
            return

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection, _ in taken:
        connection.close()
    listener.close()


def test_a_listener_is_found_with_its_account_however_it_is_bound(server: socket.socket) -> None:
    [found] = lab_peer.listeners(server.getsockname()[1])
    assert found.uid == os.geteuid()
    assert found.inode == str(os.fstat(server.fileno()).st_ino)


def test_a_connection_is_given_when_its_taker_has_the_account(server: socket.socket) -> None:
    port = server.getsockname()[1]
    with lab_peer.connect("127.0.0.1", port, OWN) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)
    with pytest.raises(lab_peer.WrongAccountError, match=f"127.0.0.1:{port} is in the hands of account"):
        lab_peer.connect("127.0.0.1", port, {os.geteuid() + 1})


def test_a_connection_that_nobody_takes_is_not_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError, match="took the connection"):
        lab_peer.connect("127.0.0.1", silent.getsockname()[1], OWN, timeout_s=0.1)


def test_a_redirected_connection_is_nobodys(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_peer, "sockets", lambda port: iter(()))
    with pytest.raises(lab_peer.WrongAccountError, match="not in the hands of a process of this host"):
        lab_peer.connect("127.0.0.1", server.getsockname()[1], OWN)


def test_a_unix_socket_counts_by_who_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        lab_peer.connect_unix(path, OWN).close()
        with pytest.raises(lab_peer.WrongAccountError):
            lab_peer.connect_unix(path, {os.geteuid() + 1})


@as_root
def test_a_stranger_on_the_port_is_named_and_told_nothing(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    [port] = free_ports(1)
    with http_stranger(port, heard):
        wait_until(lambda: b"listening" in heard.read_bytes(), 10, "the stranger listens")
        url = f"http://127.0.0.1:{port}/health"
        assert "in the hands of account nobody, not of root" in lab_peer.wait_for([url], {0}, 0.1)[url]
        secret = {"url": url, "headers": {"Authorization": "Bearer sk-secret"}}
        failed = run_module("lab_request", secret | {"accounts": ["root"]})
        assert "in the hands of account nobody" in failed["msg"]
        assert failed["code"] != 0
        failed = run_module("lab_request", {"url": f"postgres:127.0.0.1:{port}", "accounts": ["root"], "wait": 0})
        assert "in the hands of account nobody" in failed["msg"]
        assert heard.read_bytes() == b"listening\n"
        answered = run_module("lab_request", secret | {"accounts": ["nobody"]})
        assert answered["json"]["info"]["max_budget"] == 10.0


@as_root
def test_a_strangers_mark_makes_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run/hub").mkdir(parents=True)
    monkeypatch.setenv("LAB_SERVICE", f"{tmp_path}:hub/gateway")
    [port] = free_ports(1)
    with http_stranger(port, tmp_path / "heard") as stranger:
        wait_until(lambda: lab_peer.listeners(port), 10, "the stranger listens")
        assert lab_host.marked_lab(stranger.pid) == (str(tmp_path), "hub")
        assert lab_host.lab_of(stranger.pid) is None
        os.chown(tmp_path / "run/hub", 65534, 65534)
        assert lab_host.lab_of(stranger.pid) == str(tmp_path)
