"""Talk to a lab's supervisord over its Unix socket, and find the processes that belong to a lab."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import xmlrpc.client
from pathlib import Path

from ansible.module_utils.lab_host import wait_until

MARKER = b"LAB_SERVICE="  # in the environment of every process of a lab: LAB_SERVICE=<lab_home>:<service>


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, as supervisord offers it (http://supervisord.org/api.html)."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def make_connection(self, host):
        return UnixConnection(self.path)


def connect(home: str, instance: str):
    """Supervisord's functions of one instance, None when it does not run."""
    rpc = xmlrpc.client.ServerProxy(
        "http://localhost", transport=UnixTransport(f"{home}/run/{instance}/supervisor.sock")
    )
    try:
        rpc.supervisor.getState()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None
    return rpc.supervisor


def processes_of(home: str, prefix: str = "") -> list[int]:
    """Processes of a lab's services by the mark in their environment, except the caller's.

    Args:
        home: The lab's folder.
        prefix: Start of the services' names, for example a supervisor's instance and a slash.

    Returns:
        Their process ids.
    """
    mark = b"\0" + MARKER + f"{home}:{prefix}".encode()
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = b"\0" + Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            continue
        if mark in environment and int(process) != os.getpid():
            found.append(int(process))
    return found


def end(processes: list[int], timeout_s: float) -> None:
    """Ask processes to end, and force those that have not after `timeout_s` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
        if wait_until(lambda: not any(os.path.exists(f"/proc/{process}") for process in processes), timeout_s):
            return
