"""A local mirror: release files, model files and a model registry over HTTP, with faults on request.

As a context manager in tests (`with Mirror(root) as mirror`), or by hand:
`python -m tests.doubles.mirror --root FOLDER --port 16400 --model smollm2:135m=FILE.gguf`.
While it runs, `POST /_control/faults` with the fields of `Faults` as JSON changes what is broken, and
`GET /_control/requests` lists what was asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.doubles.registry_content import RegistryContent

_CHUNK = 64 * 1024
# The registry redirects blobs from one of these host names to the other: Ollama insists on a change of host.
_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass
class Faults:
    """What is broken; everything works by default. Sizes in bytes, times in seconds."""

    freeze_manifest: float = 0.0
    freeze_blob: float = 0.0
    freeze_after: int = 1_000_000
    rate: int = 0
    tampered: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong_checksums: bool = False
    no_redirect: bool = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are listed in `Mirror.requests` instead."""

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    @property
    def mirror(self) -> Mirror:
        return self.server.mirror

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/_control/requests":
            self._send(200, json.dumps(self.mirror.requests).encode())
            return
        self.mirror.requests.append(f"{self.command} {path}")
        if any(part in path for part in self.mirror.faults.missing):
            self._send(404, b"not found")
        elif path.startswith("/v2/"):
            self._registry(path)
        else:
            self._static(path)

    do_HEAD = do_GET  # noqa: N815 - names of http.server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/_control/faults":
            self._send(404, b"not found")
            return
        self.mirror.faults = Faults(**json.loads(body or b"{}"))
        self._send(200, json.dumps(dataclasses.asdict(self.mirror.faults)).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _registry(self, path: str) -> None:
        match path.split("/")[3:]:
            case [name, "manifests", tag]:
                self._manifest(f"{name}:{tag}")
            case [_, "blobs", digest] if digest in self.mirror.registry.blobs:
                self._blob(path, digest)
            case _:
                self._send(404, b'{"errors":[{"code":"NOT_FOUND"}]}')

    def _manifest(self, name: str) -> None:
        if self.mirror.stopping.wait(self.mirror.faults.freeze_manifest):
            raise ConnectionAbortedError
        manifest = self.mirror.registry.manifests.get(name)
        if manifest is None:
            self._send(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        else:
            self._send(200, manifest, "application/vnd.docker.distribution.manifest.v2+json")

    def _blob(self, path: str, digest: str) -> None:
        faults = self.mirror.faults
        host = urlsplit(f"//{self.headers['Host']}").hostname or ""
        if "Range" not in self.headers and not faults.no_redirect:
            self.send_response(307)
            other = self.mirror.names[self.mirror.names[0] == host]
            self.send_header("Location", f"{self.mirror.scheme}://{other}:{self.mirror.port}{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.mirror.registry.blobs[digest]
        data = content.read_bytes() if isinstance(content, Path) else content
        if digest in faults.tampered:
            data = data[:-1] + bytes([data[-1] ^ 0xFF])
        self._data(data)

    def _static(self, path: str) -> None:
        file = (self.mirror.root / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.mirror.root) or not file.is_file():
            self._send(404, b"not found")
            return
        data = file.read_bytes()
        if self.mirror.faults.wrong_checksums and file.name == "sha256sum.txt":
            data = b"".join(b"0" * 64 + line[64:] for line in data.splitlines(keepends=True))
        self._data(data)

    def _data(self, data: bytes) -> None:
        """Send a body, or the asked range of it, at the pace that the faults allow."""
        wanted = self.headers.get("Range", "")
        start, end = 0, len(data) - 1
        if wanted.startswith("bytes=") and wanted[6:7].isdigit():
            first, _, last = wanted[6:].partition("-")
            start, end = int(first), min(int(last or end), end)
        if start > end and wanted:
            self._send(416, b"")
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end + 1 - start))
        self.end_headers()
        if self.command != "HEAD":
            self._body(memoryview(data)[start : end + 1], start)

    def _body(self, data: memoryview, offset: int) -> None:
        for at in range(0, len(data), _CHUNK):
            self.mirror.wait_if_frozen(offset + at)
            chunk = data[at : at + _CHUNK]
            self.wfile.write(chunk)
            rate = self.mirror.faults.rate
            if rate and self.mirror.stopping.wait(len(chunk) / rate):
                raise ConnectionAbortedError


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], mirror: Mirror) -> None:
        self.mirror = mirror
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Without the base class's look-up of the host's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate or hangs up is part of the tests."""


class Mirror:
    """The mirror; serves between `start` and `stop`.

    Args:
        root: folder of the static files.
        port: its port; 0 takes a free one.
        faults: what is broken from the start.
        tls: files of a certificate (chain) and its key; None speaks plain HTTP.
        address: where it listens.
        names: two host names of that address, as the clients know it.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        *,
        faults: Faults | None = None,
        tls: tuple[Path, Path] | None = None,
        address: str = _LOOPBACK[0],
        names: tuple[str, str] = _LOOPBACK,
    ) -> None:
        self.names = names
        self.root = root.resolve()
        self.registry = RegistryContent()
        self.faults = faults or Faults()
        self.requests: list[str] = []
        self.stopping = threading.Event()
        self.scheme = "https" if tls else "http"
        self._frozen_until: float | None = None
        self._freeze_lock = threading.Lock()
        self._server = _Server((address, port), self)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where the static files are."""
        return f"{self.scheme}://{self.names[0]}:{self.port}"

    def model(self, name: str) -> str:
        """The name under which Ollama pulls the published model `name`."""
        return f"{self.names[0]}:{self.port}/library/{name}"

    def wait_if_frozen(self, offset: int) -> None:
        """Hold back bytes beyond `freeze_after` until `freeze_blob` seconds after they were first asked for."""
        if not self.faults.freeze_blob or offset < self.faults.freeze_after:
            return
        with self._freeze_lock:
            if self._frozen_until is None:
                self._frozen_until = time.monotonic() + self.faults.freeze_blob
        if self.stopping.wait(max(0.0, self._frozen_until - time.monotonic())):
            raise ConnectionAbortedError

    def start(self) -> Mirror:
        """Begin to serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End serving; bytes that are held back are never sent."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Mirror:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main() -> None:
    """Serve from the command line until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", action="append", default=[], metavar="NAME:TAG=GGUF")
    arguments = parser.parse_args()
    mirror = Mirror(arguments.root, arguments.port)
    for item in arguments.model:
        name, _, path = item.partition("=")
        mirror.registry.add(name, Path(path))
    with mirror:
        print(f"serving {mirror.root} at {mirror.url}, models {sorted(mirror.registry.manifests)}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
