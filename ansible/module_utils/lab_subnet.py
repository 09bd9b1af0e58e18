"""The hub's private network: a /24 that nothing else on the host uses."""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

ROUTES = "/proc/net/route"
# Private (RFC 1918), and in no pool that an engine takes networks from by itself: these are 172.17 to 172.31 and
# 192.168, for swarms 10.0 upwards. So no network that is made later takes the place of one that is away.
BASES = ("172.16", "10.231")
WIDE = 8  # a route for more than a /8 is a way out, not a network: VPNs take the whole Internet in two halves


def network_of(prefix: str) -> IPv4Network:
    """The /24 that begins with these three numbers."""
    return IPv4Network(f"{prefix}.0/24")


def prefix_of(network: IPv4Network) -> str:
    """The first three numbers of a network."""
    return str(network.network_address).rpartition(".")[0]


def routed(table: str = ROUTES) -> list[IPv4Network]:
    """Networks that the host has a route to, without its ways out; proc(5) describes the table."""
    found = []
    for fields in map(str.split, Path(table).read_text().splitlines()[1:]):
        address, mask = (socket.inet_ntoa(struct.pack("=I", int(fields[column], 16))) for column in (1, 7))
        found.append(IPv4Network(f"{address}/{mask}"))
    return [network for network in found if network.prefixlen >= WIDE]


def overlapping(prefix: str, networks: dict[str, list[IPv4Network]]) -> list[tuple[str, IPv4Network]]:
    """Which of the engine's networks share addresses with the /24: their names and subnets."""
    wanted = network_of(prefix)
    return [(name, subnet) for name, subnets in networks.items() for subnet in subnets if wanted.overlaps(subnet)]


def candidates(home: str) -> Iterator[str]:
    """All that may be chosen; labs begin at different ones, so that two that are set up at once do not meet."""
    first = hashlib.sha256(home.encode()).digest()[0]
    for base in BASES:
        for offset in range(256):
            yield f"{base}.{(first + offset) % 256}"


def choose(home: str, networks: dict[str, list[IPv4Network]], routes: list[IPv4Network]) -> str:
    """The first candidate that is free, or the one that shares least: where routes cover all private addresses, as
    those of VPNs do, the lab's own network is the narrower one and wins.

    Args:
        home: `lab_home`.
        networks: Subnets of the engine's networks, by name.
        routes: Networks that the host has a route to.

    Returns:
        The network's first three numbers.
    """

    def shared(prefix: str) -> tuple[int, int]:
        return len(overlapping(prefix, networks)), sum(map(network_of(prefix).overlaps, routes))

    return min(candidates(home), key=shared)
