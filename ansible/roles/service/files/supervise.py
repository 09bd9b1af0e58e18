"""What a lab's supervisord is asked for. It runs as the account of the services that are concerned: as
root where that is theirs, which is JupyterHub's alone.

    supervise.py apply CONF NAME …               run what the configuration says now, and start the services NAME
    supervise.py stop CONF SECONDS               stop it and its services, and what of them a killed one left
    supervise.py run MARK ENV_FILE,… COMMAND …   become a service (supervisord's own call)

`apply` and `stop` print what they changed, a line each. CONF lies in LAB_HOME/supervisor. Processes are found
by account and command line or by the mark in their environment, never by what a socket or a file says.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

INTERVAL_S = 0.1
START_S = 60.0
LEFTOVER_S = 10.0
MARK = "LAB_SERVICE="
RUNNING = ("RUNNING", "STARTING", "BACKOFF")


def wait_until(condition: Callable[[], object], timeout_s: float) -> bool:
    """Poll a condition; return whether it came true within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(INTERVAL_S)
    return True


def own_processes(wanted: Callable[[Path], bool]) -> list[int]:
    """The other processes of this account whose folder in /proc satisfies `wanted`."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        folder = Path("/proc", name)
        try:
            if int(name) != os.getpid() and folder.stat().st_uid == os.getuid() and wanted(folder):
                found.append(int(name))
        except OSError:  # it ended meanwhile
            continue
    return found


def supervisors(conf: str) -> list[int]:
    """The supervisords that run with a configuration."""

    def is_one(process: Path) -> bool:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return any(os.path.basename(word) == "supervisord" for word in words) and conf in words

    return own_processes(is_one)


def marked(mark: str, *, whole: bool) -> list[int]:
    """The processes whose mark is `mark`, or begins with it."""
    wanted = f"\0{MARK}{mark}".encode() + (b"\0" if whole else b"")
    return own_processes(lambda process: wanted in b"\0" + (process / "environ").read_bytes())


def end(find: Callable[[], list[int]], timeout_s: float) -> list[int]:
    """Ask processes to end, and force those that have not after `timeout_s` seconds; return those that there were."""
    found = find()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in find():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
        if wait_until(lambda: not find(), timeout_s):
            break
    return found


def socket_of(conf: str) -> Path:
    """The socket of the supervisord with a configuration: LAB_HOME/run/INSTANCE/supervisor.sock."""
    path = Path(conf)
    return path.parent.parent / "run" / path.stem / "supervisor.sock"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def connect(self) -> None:
        """Connect to the socket that is given in the host's place."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.host)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, as supervisord offers it."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        """A connection to the socket, whatever the address says."""
        return UnixConnection(str(self.path))


def connect(conf: str) -> xmlrpc.client.ServerProxy | None:
    """Supervisord's functions (http://supervisord.org/api.html), None where it does not answer."""
    rpc = xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(socket_of(conf)))
    try:
        return rpc if rpc.supervisor.getPID() in supervisors(conf) else None
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None


def start(conf: str) -> xmlrpc.client.ServerProxy:
    """Start supervisord; one that nobody reaches any more would fight with the new one for its services."""
    end(lambda: supervisors(conf), START_S)
    socket_of(conf).unlink(missing_ok=True)
    program = Path(sys.executable).with_name("supervisord")
    done = subprocess.run([sys.executable, str(program), "-c", conf], capture_output=True, text=True, check=False)
    if done.returncode or not wait_until(lambda: connect(conf), START_S):
        sys.exit(f"supervisord did not start with {conf}: {done.stderr or done.stdout or 'see its log'}")
    return connect(conf)


def apply(conf: str, *names: str) -> None:
    """Run what is new, restart what changed, stop what is gone; then start the named services that are down.

    Where nothing is left to run there is no supervisord either.
    """
    rpc = connect(conf)
    if rpc is None:
        if not names:
            return
        rpc = start(conf)
        print("supervisord")
    supervisor = rpc.supervisor
    [[added, changed, removed]] = supervisor.reloadConfig()
    for name in (*changed, *removed):
        supervisor.stopProcessGroup(name)
        supervisor.removeProcessGroup(name)
    for name in (*added, *changed):
        supervisor.addProcessGroup(name)
    down = [name for name in names if supervisor.getProcessInfo(name)["statename"] not in RUNNING]
    for name in down:
        supervisor.startProcess(name, False)
    print("\n".join(dict.fromkeys((*added, *changed, *removed, *down))))
    if not supervisor.getAllProcessInfo():
        end(lambda: supervisors(conf), START_S)


def stop(conf: str, seconds: str) -> None:
    """Stop supervisord, and with it its services in the reverse order of their start."""
    mark = f"{Path(conf).parent.parent}:{Path(conf).stem}/"
    ended = end(lambda: supervisors(conf), float(seconds)) + end(lambda: marked(mark, whole=False), LEFTOVER_S)
    print("\n".join(map(str, ended)))


def run(mark: str, files: str, *command: str) -> None:
    """Clear what a killed run left, a child that holds its port or memory; then become the service."""
    left = end(lambda: marked(mark, whole=True), 0)
    if not wait_until(lambda: not marked(mark, whole=True), LEFTOVER_S):
        sys.exit(f"processes {left} of an earlier run do not end")
    environment = dict(os.environ)
    for path in filter(None, files.split(",")):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        environment |= dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    {"apply": apply, "stop": stop, "run": run}[sys.argv[1]](*sys.argv[2:])
