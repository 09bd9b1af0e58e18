"""What the preflight reads off the host."""

import os
import socket
import sys
import time

import pytest

from ansible.module_utils import lab_host, lab_peer


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_names_its_process(listener):
    inodes = {found.inode for found in lab_peer.listeners(listener)}
    assert lab_host.holder_of(inodes) == os.getpid()
    assert f"(pid {os.getpid()}, account me)" in lab_host.describe_holder(os.getpid(), "me")
    assert not lab_host.can_bind("127.0.0.1", listener)


def test_a_free_port_has_no_holder(listener):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    assert lab_peer.listeners(port) == []
    assert lab_host.can_bind("127.0.0.1", port)


def test_this_process_belongs_to_no_lab():
    assert lab_host.lab_of(os.getpid()) is None


def test_a_silent_source_does_not_hold_up_the_preflight():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        start = time.monotonic()
        assert lab_host.probe_sources({"silent": address, "refused": "http://127.0.0.1:1/"}) == {
            "silent": False,
            "refused": False,
        }
        assert time.monotonic() - start < 2 * lab_host.PROBE_TIMEOUT_S


def test_a_model_file_is_known_by_its_first_bytes(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF\3\0\0\0")
    (tmp_path / "b.gguf").write_bytes(b"<html>")
    assert lab_host.no_model(str(tmp_path / "a.gguf")) == ""
    assert lab_host.no_model(str(tmp_path / "b.gguf")) == "it is no GGUF file"
    assert lab_host.no_model(str(tmp_path)).startswith("it cannot be read: ")


def test_the_first_new_enough_python_is_taken():
    assert lab_host.find_python(["/nonexistent", "/bin/true", sys.executable], (3, 11), False) == sys.executable
    assert lab_host.find_python([sys.executable], (9, 0), False) is None


def test_a_closed_folder_on_the_way_is_found(tmp_path):
    closed = tmp_path / "closed"
    (closed / "lab").mkdir(parents=True)
    for folder in (tmp_path, closed):
        folder.chmod(0o700)
    assert lab_host.unreachable_folder(str(closed / "lab")) is not None
