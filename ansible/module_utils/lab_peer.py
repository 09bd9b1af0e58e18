"""Who is at the other end: the account behind a listening port or an open connection, as the kernel has it.

Ports above 1024 belong to whoever comes first, so neither an answer nor a process's environment says that a service is
the lab's own. The modules and the launcher, which has a copy of this file beside it, connect through here alone: what
is sent over such a connection reaches a process of the account that was asked for, and the answer is that account's.
"""

from __future__ import annotations

import http.client
import ipaddress
import pwd
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")  # of this network namespace, see proc(5)
LISTEN = "0A"
NOT_ACCEPTED = "0"  # the inode of a connection that no process has taken yet, or has no more; its uid says nothing
LOOKS = 3  # the tables change while they are read: what was not there once may be there
LOOK_INTERVAL_S = 0.01
PROBE_TIMEOUT_S = 5.0
PROBE_INTERVAL_S = 0.2

Place = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


class WrongAccountError(ConnectionError):
    """Another account than the service's holds the port or the socket."""


class TcpSocket(NamedTuple):
    """A row of the kernel's tables."""

    state: str
    local: Place
    remote: Place
    uid: int
    inode: str


def place(text: str) -> Place:
    """An address and port as the kernel prints them: words of four bytes in the machine's order, in hexadecimal."""
    digits, port = text.split(":")
    words = [int(digits[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(digits), 8)]
    return plain(b"".join(words)), int(port, 16)


def plain(address: str | bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; one of IPv4 in the clothes of IPv6 without them, as a dual-stack listener has it."""
    found = ipaddress.ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found


def sockets(port: int) -> Iterator[TcpSocket]:
    """The TCP sockets of this network namespace whose own port is `port`, whatever their state."""
    for table in TABLES:
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:  # without IPv6
            continue
        for fields in map(str.split, lines):
            if fields[1].endswith(f":{port:04X}"):
                yield TcpSocket(fields[3], place(fields[1]), place(fields[2]), int(fields[7]), fields[9])


def listeners(port: int) -> list[TcpSocket]:
    """The sockets that listen on `port`, whatever the address."""
    return [found for found in sockets(port) if found.state == LISTEN]


def account(uid: int) -> str:
    """The account's name for messages, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def check(uid: int, uids: Collection[int], where: str) -> None:
    """Raise WrongAccountError for another account than the service's."""
    if uid not in uids:
        wanted = " or ".join(map(account, sorted(uids))) or "an account of the lab"
        raise WrongAccountError(f"{where} is in the hands of account {account(uid)}, not of {wanted}")


def holder(connection: socket.socket, timeout_s: float) -> int | None:
    """The uid whose process took a TCP connection to this machine, None where that is in another network namespace.

    Raises:
        TimeoutError: No process took it within `timeout_s` seconds.
    """
    here, there = ((plain(name[0]), name[1]) for name in (connection.getsockname(), connection.getpeername()))
    deadline = time.monotonic() + timeout_s
    misses = 0
    while misses < LOOKS:
        rows = [row for row in sockets(there[1]) if row.local == there and row.remote == here]
        taken = [row.uid for row in rows if row.inode != NOT_ACCEPTED]
        if taken:
            return taken[0]
        misses += not rows
        if time.monotonic() > deadline:
            raise TimeoutError(f"no process took the connection within {timeout_s:g} s")
        time.sleep(LOOK_INTERVAL_S)
    return None


def connect(address: str, port: int, uids: Collection[int], timeout_s: float = PROBE_TIMEOUT_S) -> socket.socket:
    """Connect to a service of this machine and make sure of it before anything is sent.

    Args:
        address: An address of this machine.
        port: TCP port.
        uids: The accounts that the service may run as.
        timeout_s: Seconds for the connection, and again for its being taken.

    Returns:
        The connection.

    Raises:
        WrongAccountError: Another account took the connection, or a rule of the firewall led it elsewhere.
        OSError: There is none, or nobody took it.
    """
    connection = socket.create_connection((address, port), timeout_s)
    try:
        uid = holder(connection, timeout_s)
        if uid is None:
            raise WrongAccountError(f"{address}:{port} is not in the hands of a process of this host")
        check(uid, uids, f"{address}:{port}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_unix(path: str, uids: Collection[int], timeout_s: float = PROBE_TIMEOUT_S) -> socket.socket:
    """Connect to a Unix socket on which one of the accounts `uids` listens.

    Raises:
        WrongAccountError: Another account listens there.
        OSError: Nobody does.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
        size = struct.calcsize("3i")
        _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        check(uid, uids, path)
    except BaseException:
        connection.close()
        raise
    return connection


def ask(
    url: str, uids: Collection[int], timeout_s: float, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """Send a request to a service of this machine that was made sure of; no proxy, no redirection.

    Returns:
        The answer and its body.

    Raises:
        OSError: There is no answer, or another account took the connection.
        HTTPException: What answers does not speak HTTP.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
    connection.sock = connect(connection.host, connection.port, uids, timeout_s)
    try:
        connection.request(method, parts._replace(scheme="", netloc="").geturl() or "/", body, headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def check_http(url: str, uids: Collection[int]) -> None:
    """Whether `url` answers 200; raises OSError or HTTPException where it does not."""
    answer, _ = ask(url, uids, PROBE_TIMEOUT_S)
    if answer.status != http.client.OK:
        raise ConnectionError(f"it answers with status {answer.status}")


def check_postgres(address: str, port: int, uids: Collection[int]) -> None:
    """Whether the server takes clients: one that still starts or already stops refuses with SQLSTATE 57P03.

    Protocol: https://www.postgresql.org/docs/16/protocol-flow.html#PROTOCOL-FLOW-START-UP
    """
    parameters = b"user\0launcher\0database\0postgres\0\0"
    with connect(address, port, uids) as connection:
        connection.sendall(struct.pack("!ii", 8 + len(parameters), 3 << 16) + parameters)
        answer = connection.recv(1024)
    if answer[:1] != b"R" and (answer[:1] != b"E" or b"C57P03" in answer):
        raise ConnectionError("it does not take clients yet")


def trouble(target: str, uids: Collection[int]) -> str | None:
    """Why a target is not ready, None when it is.

    Args:
        target: An http:// address that must answer 200, tcp:HOST:PORT or unix:PATH that must accept, or
            postgres:HOST:PORT that must be ready for clients.
        uids: The accounts that may be there.
    """
    kind, _, rest = target.partition(":")
    host, _, port = rest.rpartition(":")
    try:
        if kind == "http":
            check_http(target, uids)
        elif kind == "unix":
            connect_unix(rest, uids).close()
        elif kind == "postgres":
            check_postgres(host, int(port), uids)
        else:
            connect(host, int(port), uids).close()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None


def wait_for(targets: Collection[str], uids: Collection[int], timeout_s: float) -> dict[str, str]:
    """Wait until all targets are ready, for `timeout_s` seconds; give those that are not, with the reason."""
    deadline = time.monotonic() + timeout_s
    waiting = dict.fromkeys(targets, "")
    while waiting := {target: why for target in waiting if (why := trouble(target, uids)) is not None}:
        if time.monotonic() > deadline:
            break
        time.sleep(PROBE_INTERVAL_S)
    return waiting
