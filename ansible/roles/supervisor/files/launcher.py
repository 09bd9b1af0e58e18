"""Start one service of the lab: clear what an earlier run left, wait for what it needs, then become it.

    launcher.py run --home HOME --name NAME [--env-file FILE] [--after TARGET …] -- COMMAND …

A TARGET is as lab_peer.py has it, of the service's own account. Waiting inside the supervised process gives an ordered
start and restart at any time, which the supervisor's priorities alone (they order the starts, not the readiness) do
not.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # started isolated, it is not looked in

from lab_peer import PROBE_INTERVAL_S, wait_for

LEFTOVER_GRACE_S = 10.0


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


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(description="Start one service of the lab.")
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--home", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--env-file", action="append", default=[])
    parser.add_argument("--after", action="append", default=[])
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    mark = f"LAB_SERVICE={arguments.home}:{arguments.name}"
    clear_leftovers(b"\0" + mark.encode() + b"\0")
    wait_for(arguments.after, {os.getuid()}, float("inf"))
    environment = dict(os.environ)
    for path in arguments.env_file:
        environment.update(read_environment(path))
    os.execvpe(arguments.command[0], arguments.command, environment)


if __name__ == "__main__":
    main()
