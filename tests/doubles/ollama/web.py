"""The HTTP side: reading requests and writing answers the way Go's server does it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
TEXT = "text/plain; charset=utf-8"
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_WANTED: dict[type, str] = {str: "string", list: "[]api.Message", dict: "map[string]interface {}"}


class ApiError(Exception):
    """A request is refused with this status and text."""

    def __init__(self, status: int, message: str, *, plain_type: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.content_type = PLAIN_JSON if plain_type else JSON


def dumps(value: Any) -> str:
    """JSON as Go writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES)


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    return f"invalid character '{text[error.pos]}' looking for beginning of value"


class Exchange(BaseHTTPRequestHandler):
    """One connection; each request goes to the function that the server's routes name."""

    protocol_version = "HTTP/1.1"
    server: WebServer
    streaming = False

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Ollama logs requests elsewhere."""

    def handle(self) -> None:
        # A client that goes away ends its connection, nothing else.
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def _dispatch(self) -> None:
        self.streaming = False
        path = unquote(urlsplit(self.path).path)
        self.raw = self._read_body()
        routes = self.server.routes
        action = routes.get((self.command, path))
        if action is None:
            prefix, _, self.argument = path.rpartition("/")
            action = routes.get((self.command, prefix + "/*"))
        if action is None:
            known = any(path == other for _, other in routes)
            self.send(
                405 if known else 404, "text/plain", b"405 method not allowed" if known else b"404 page not found"
            )
            return
        try:
            action(self)
        except ApiError as error:
            self.refuse(error)

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = _dispatch  # noqa: N815 - names of http.server

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def body(self, struct: str, **types: type) -> dict[str, Any]:
        """The request's JSON object, its fields checked against `types` as Go does for `struct`.

        Raises:
            ApiError: 400 with Go's words.
        """
        text = self.raw.decode(errors="replace")
        if not text.strip():
            raise ApiError(400, "missing request body")
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise ApiError(400, _syntax_error(text, error)) from error
        if not isinstance(value, dict):
            raise ApiError(
                400, f"json: cannot unmarshal {_KINDS.get(type(value), 'null')} into Go value of type {struct}"
            )
        for name, kind in types.items():
            if value.get(name) is not None and not isinstance(value[name], kind):
                found, wanted = (
                    _KINDS[type(value[name])],
                    _WANTED[kind],
                )
                where = f"{struct.rpartition('.')[2]}.{name}"
                raise ApiError(400, f"json: cannot unmarshal {found} into Go struct field {where} of type {wanted}")
        return value

    def send(self, status: int, content_type: str | None, body: bytes = b"") -> None:
        """Answer with a complete body."""
        self._head(status, content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, content_type: str | None) -> None:
        self.send_response_only(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Date", formatdate(usegmt=True))

    def send_json(self, value: Any, status: int = 200, content_type: str = JSON) -> None:
        """Answer with one JSON value; OpenAI-shaped answers end in a line feed."""
        end = "\n" if content_type == PLAIN_JSON and status == 200 else ""
        self.send(status, content_type, (dumps(value) + end).encode())

    def refuse(self, error: ApiError) -> None:
        """Answer with an error in the words of the interface that was called."""
        if not self.path.startswith("/v1/"):
            self.send_json({"error": str(error)}, error.status, error.content_type)
            return
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(error.status, "api_error")
        details = {"message": str(error), "type": kind, "param": None, "code": None}
        self.send(error.status, PLAIN_JSON, (dumps({"error": details}) + "\n").encode())

    def stream(self, content_type: str, lines: Iterable[str]) -> None:
        """Answer with lines as they come; the headers go out with the first."""
        for line in lines:
            if not self.streaming:
                self.streaming = True
                self._head(200, content_type)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
            data = line.encode()
            if self.server.stopping.is_set():
                raise ConnectionAbortedError
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def gone(self) -> bool:
        """Whether the client went away."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


class WebServer(ThreadingHTTPServer):
    """Listens, one thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], routes: dict[tuple[str, str], Callable[[Exchange], None]]) -> None:
        self.routes = routes
        self.connections: set[socket.socket] = set()
        self.stopping = threading.Event()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Exchange)

    def server_bind(self) -> None:
        # Without the base class's look-up of the host's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def cut_connections(self) -> None:
        """End every connection at once, answers in progress included."""
        self.stopping.set()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
