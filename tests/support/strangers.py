"""Servers of another account, or of none that is trusted, that take a service's place and note what they are told."""

from __future__ import annotations

import base64
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STRANGER = 65534  # nobody

HTTP = """
import os, socket, sys, time
if (account := int(sys.argv[2])) != os.geteuid():  # only now: the account cannot read the test run's Python
    os.setgroups([])
    os.setgid(account)
    os.setuid(account)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
while True:
    try:
        server.bind(("127.0.0.1", int(sys.argv[1])))
        server.listen()
        break
    except OSError:
        time.sleep(0.01)
print("listening", flush=True)
body = b'{"info": {"max_budget": 10.0}}'
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\n"
while True:
    client, _ = server.accept()
    client.settimeout(5)
    try:
        told = client.recv(65536)
        if told:
            print(told, flush=True)
        client.sendall(head + b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
    except OSError:
        pass
    client.close()
"""


@contextmanager
def http_stranger(port: int, heard: Path, uid: int = STRANGER) -> Iterator[subprocess.Popen[bytes]]:
    """A server of account `uid` that takes `port` as soon as it is free and answers everything with 200.

    It writes "listening" and then a line for each request to `heard`. Another account than the caller's needs root.
    """
    with heard.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", HTTP, str(port), str(uid)], stdout=output, cwd="/")
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (4 + len(body)).to_bytes(4, "big") + body


# https://www.postgresql.org/docs/16/protocol-message-formats.html
_OK = _message(b"R", bytes(4))
_READY = _message(b"Z", b"I")
FAREWELL = _message(b"X", b"")
_ENCRYPTION = {number.to_bytes(4, "big") for number in (80877103, 80877104)}  # SSLRequest, GSSENCRequest
LIES = {
    "asks for the password in clear": _message(b"R", (3).to_bytes(4, "big")),
    "asks for the password as MD5": _message(b"R", (5).to_bytes(4, "big") + b"salt"),
    "wants no password at all": _OK + _READY,
    "is ready at once": _READY,
    "gives a wrong proof": _message(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0"),
}


def _wrong_proof(client: socket.socket) -> None:
    """The rest of a SCRAM exchange (RFC 5802) by a server that does not know the password."""
    nonce = client.recv(4096).rpartition(b"r=")[2]
    client.sendall(_message(b"R", (11).to_bytes(4, "big") + b"r=" + nonce + b"more,s=c2FsdHNhbHQ=,i=4096"))
    client.recv(4096)
    proof = base64.b64encode(bytes(32))
    client.sendall(_message(b"R", (12).to_bytes(4, "big") + b"v=" + proof) + _OK + _READY)


class _Session(socketserver.BaseRequestHandler):
    request: socket.socket
    server: LyingPostgres

    def handle(self) -> None:
        self.request.settimeout(5)
        try:
            while self.first_packet() in _ENCRYPTION:
                self.request.sendall(b"N")
            self.request.sendall(self.server.answer)
            if self.server.answer == LIES["gives a wrong proof"]:
                _wrong_proof(self.request)
            while told := self.request.recv(4096):
                if told != FAREWELL:
                    self.server.heard.append(told)
        except OSError:
            pass
        self.server.ended.set()

    def first_packet(self) -> bytes:
        """Its code: the protocol's version, followed by user and database, or a wish for encryption."""
        size = int.from_bytes(self.request.recv(4, socket.MSG_WAITALL), "big")
        return self.request.recv(size - 4, socket.MSG_WAITALL)[:4]


class LyingPostgres(socketserver.ThreadingTCPServer):
    """Answers every client's first packet with `answer` and notes what comes then, but for a farewell."""

    daemon_threads = True

    def __init__(self, answer: bytes):
        super().__init__(("127.0.0.1", 0), _Session)
        self.answer, self.heard, self.ended = answer, list[bytes](), threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def lying_postgres(answer: bytes) -> Iterator[LyingPostgres]:
    """The server, as long as the block lasts."""
    with LyingPostgres(answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
