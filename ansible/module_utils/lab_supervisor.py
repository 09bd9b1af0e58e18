"""Talk to a lab's supervisord over its Unix socket, and find the processes that belong to a lab.

The socket's folder belongs to the account of the services, so who answers there may be anybody of that account: root
takes neither a process id nor its own next step from the answers without looking.
"""

from __future__ import annotations

import http.client
import os
import signal
import xmlrpc.client
from pathlib import Path

from ansible.module_utils.lab_host import account_of, uid_of, wait_until
from ansible.module_utils.lab_peer import connect_unix

TIMEOUT_S = 60.0


def socket_of(home: str, instance: str) -> str:
    """Path of the socket that an instance's supervisord listens on."""
    return f"{home}/run/{instance}/supervisor.sock"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket on which an account listens."""

    def __init__(self, path: str, uid: int):
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.path, self.uid = path, uid

    def connect(self) -> None:
        self.sock = connect_unix(self.path, {self.uid}, TIMEOUT_S)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, as supervisord offers it (http://supervisord.org/api.html)."""

    def __init__(self, path: str, uid: int):
        super().__init__()
        self.path, self.uid = path, uid

    def make_connection(self, host):
        return UnixConnection(self.path, self.uid)


def connect(home: str, instance: str):
    """Supervisord's functions of one instance, None when it does not run or something else answers in its place."""
    transport = UnixTransport(socket_of(home, instance), account_of(home, instance))
    rpc = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
    try:
        return rpc.supervisor if rpc.supervisor.getPID() in supervisors_of(home, instance) else None
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None


def own_processes(home: str, instance: str) -> list[int]:
    """Processes of the account that an instance's services run as, except the caller's."""
    account = account_of(home, instance)
    found = map(int, filter(str.isdigit, os.listdir("/proc")))
    return [process for process in found if process != os.getpid() and account == uid_of(process)]


def supervisors_of(home: str, instance: str) -> list[int]:
    """The supervisords of one instance: by account and command line, for a socket or a file can be put elsewhere."""
    configuration = os.path.realpath(f"{home}/supervisor/{instance}.conf")
    found = []
    for process in own_processes(home, instance):
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        is_supervisord = any(os.path.basename(word) == "supervisord" for word in words)
        if is_supervisord and "-c" in words and os.path.realpath(words[words.index("-c") + 1]) == configuration:
            found.append(process)
    return found


def processes_of(home: str, instance: str) -> list[int]:
    """Processes of one instance's services by account and by the mark LAB_SERVICE in their environment.

    Args:
        home: The lab's folder.
        instance: Name of the supervisord that started them, or of their systemd units.

    Returns:
        Their process ids.
    """
    mark = f"\0LAB_SERVICE={home}:{instance}/".encode()
    found = []
    for process in own_processes(home, instance):
        try:
            environment = b"\0" + Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            continue
        if mark in environment:
            found.append(process)
    return found


def send(process: int, number: int, account: int) -> None:
    """Send a signal to a process if it is the account's: one that took over the id of an ended process is spared."""
    try:
        handle = os.pidfd_open(process)
    except OSError:
        return
    try:
        if uid_of(process) == account:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def end(processes: list[int], timeout_s: float, account: int) -> None:
    """Ask processes of `account` to end, and force those that have not after `timeout_s` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            send(process, number, account)
        if wait_until(lambda: all(uid_of(process) != account for process in processes), timeout_s):
            return
