"""Start one service of the lab: clear what an earlier run left, wait for what it needs, then become it.

    launcher.py run --home HOME --name NAME [--env-file FILE] [--after TARGET …] -- COMMAND …
    launcher.py wait [--timeout SECONDS] TARGET …

A TARGET is an http:// address that must answer 200, tcp:HOST:PORT or unix:PATH that must accept, or
postgres:HOST:PORT that must be ready for clients. Waiting inside the supervised process gives an ordered start and
restart at any time, which the supervisor's priorities alone (they order the starts, not the readiness) do not.
"""

import argparse
import os
import signal
import socket
import struct
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PROBE_TIMEOUT_S = 5.0
PROBE_INTERVAL_S = 0.2
LEFTOVER_GRACE_S = 10.0


def http_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def tcp_ready(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def unix_ready(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PROBE_TIMEOUT_S)
        return connection.connect_ex(path) == 0


def postgres_ready(address: tuple[str, int]) -> bool:
    """Whether the server takes clients: one that still starts or already stops refuses with SQLSTATE 57P03.

    Protocol: https://www.postgresql.org/docs/16/protocol-flow.html#PROTOCOL-FLOW-START-UP
    """
    parameters = b"user\0launcher\0database\0postgres\0\0"
    try:
        with socket.create_connection(address, PROBE_TIMEOUT_S) as connection:
            connection.settimeout(PROBE_TIMEOUT_S)
            connection.sendall(struct.pack("!ii", 8 + len(parameters), 3 << 16) + parameters)
            answer = connection.recv(1024)
    except OSError:
        return False
    return answer[:1] == b"R" or (answer[:1] == b"E" and b"C57P03" not in answer)


def is_ready(target: str) -> bool:
    kind, _, rest = target.partition(":")
    if kind in ("http", "https"):
        return http_ready(target)
    if kind == "unix":
        return unix_ready(rest)
    host, _, port = rest.rpartition(":")
    probe = {"tcp": tcp_ready, "postgres": postgres_ready}[kind]
    return probe((host, int(port)))


def wait_for(targets: list[str], timeout_s: float) -> list[str]:
    """Wait until all targets are ready; return those that are not after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    waiting = list(targets)
    while waiting := [target for target in waiting if not is_ready(target)]:
        if time.monotonic() > deadline:
            break
        time.sleep(PROBE_INTERVAL_S)
    return waiting


def leftovers(mark: bytes) -> list[int]:
    """Processes with the service's mark in their environment, other than this one."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            continue
        if mark in b"\0" + environment and int(process) != os.getpid():
            found.append(int(process))
    return found


def clear_leftovers(mark: bytes) -> None:
    """End what a killed run left behind: a child that outlived it would hold its port, its memory or its lock."""
    deadline = time.monotonic() + LEFTOVER_GRACE_S
    while left := leftovers(mark):
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            sys.exit(f"processes {left} of an earlier run do not end")
        time.sleep(PROBE_INTERVAL_S)


def read_environment(path: str) -> dict[str, str]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def run(arguments: argparse.Namespace) -> None:
    mark = f"LAB_SERVICE={arguments.home}:{arguments.name}"
    clear_leftovers(b"\0" + mark.encode() + b"\0")
    if missing := wait_for(arguments.after, float("inf")):
        sys.exit(f"not ready: {', '.join(missing)}")
    environment = dict(os.environ)
    for path in arguments.env_file:
        environment.update(read_environment(path))
    os.execvpe(arguments.command[0], arguments.command, environment)


def wait(arguments: argparse.Namespace) -> None:
    if missing := wait_for(arguments.targets, arguments.timeout):
        sys.exit(f"not ready after {arguments.timeout:g} s: {', '.join(missing)}")


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(description="Start one service of the lab.")
    commands = parser.add_subparsers(required=True)
    starter = commands.add_parser("run")
    starter.add_argument("--home", required=True)
    starter.add_argument("--name", required=True)
    starter.add_argument("--env-file", action="append", default=[])
    starter.add_argument("--after", action="append", default=[])
    starter.add_argument("command", nargs="+")
    starter.set_defaults(do=run)
    waiter = commands.add_parser("wait")
    waiter.add_argument("--timeout", type=float, default=120.0)
    waiter.add_argument("targets", nargs="+")
    waiter.set_defaults(do=wait)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
