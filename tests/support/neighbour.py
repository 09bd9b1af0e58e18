"""A machine beside this one: a network namespace with a cable to it, and routes to whatever is behind it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

NAME = "labneighbour"
HERE, THERE = "198.18.77.1", "198.18.77.2"  # of the range for tests, RFC 2544


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Neighbour:
    """The namespace; this machine's address on the cable is `here`."""

    here: str = HERE

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        return subprocess.run(
            ["ip", "netns", "exec", NAME, *words], capture_output=True, text=True, timeout=30, check=False
        )

    def reaches(self, address: str, port: int) -> bool:
        """Whether a connection comes about."""
        probe = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
        return self.run("python3", "-c", probe).returncode == 0


@contextlib.contextmanager
def neighbour() -> Iterator[Neighbour]:
    """The neighbour as long as the block lasts; needs root."""
    remove()
    ip("netns", "add", NAME)
    try:
        ip("link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", NAME)
        ip("address", "add", f"{HERE}/30", "dev", NAME)
        ip("link", "set", NAME, "up")
        ip("-n", NAME, "address", "add", f"{THERE}/30", "dev", "eth0")
        ip("-n", NAME, "link", "set", "eth0", "up")
        ip("-n", NAME, "route", "add", "default", "via", HERE)
        yield Neighbour()
    finally:
        remove()


def remove() -> None:
    """Remove the namespace, with it the cable; also what an interrupted run left."""
    subprocess.run(["ip", "netns", "del", NAME], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", NAME], capture_output=True, check=False)
