"""A local mirror: release files and a registry of models over HTTP, with faults on request."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.doubles import ollama_store

_CHUNK = 64 * 1024
# What an nginx says whose registry is away.
BAD_GATEWAY = """<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n
<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"""


@functools.cache
def weights() -> bytes:
    """The one model file, which only the double takes for a model; not compressible, so that disks really hold it."""
    return ollama_store.MAGIC + random.Random(1).randbytes(4_000_000)


def digest_of(content: bytes) -> str:
    """A blob's digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Faults:
    """What is broken; everything works by default. Sizes in bytes, times in seconds.

    Attributes:
        freeze: how long a file stops after `freeze_after` bytes.
        break_after: bytes of a file after which the registry goes away: it cuts the file, and answers the next `away`
            requests with `status`.
        tampered: digests of the files that are sent damaged.
        missing: parts of the paths that are not there.
        wrong_checksums: whether releases differ from their checksums.
        no_redirect: whether the registry sends files itself.
    """

    freeze: float = 0.0
    freeze_after: int = 1_000_000
    break_after: int = 0
    status: int = 502
    away: int = 0
    tampered: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong_checksums: bool = False
    no_redirect: bool = False


@dataclass
class RegistryContent:
    """Manifests by `NAME:TAG`, and blobs by digest."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, *, context: int = 4096) -> str:
        """Publish the model file as `name` with a context in tokens; the digest that Ollama will show of it."""
        contents = {
            "image.model": weights(),
            "image.params": json.dumps({"num_ctx": context}).encode(),
            "config": b"{}",
        }
        *layers, config = [
            {"mediaType": f"application/vnd.ollama.{kind}", "digest": digest_of(content), "size": len(content)}
            for kind, content in contents.items()
        ]
        self.blobs |= {digest_of(content): content for content in contents.values()}
        manifest = {"schemaVersion": 2, "mediaType": ollama_store.MANIFEST, "config": config, "layers": layers}
        self.manifests[name] = json.dumps(manifest).encode()
        return hashlib.sha256(self.manifests[name]).hexdigest()

    def place(self, name: str, models: Path) -> None:
        """Write a published model's files into a models' folder."""
        store = ollama_store.Store(models)
        for blob in ollama_store.blobs_of(self.manifests[name]):
            store.blob(blob["digest"]).write_bytes(self.blobs[blob["digest"]])
        store.write(name, self.manifests[name])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Mirror

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are listed in `Mirror.requests` instead."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        mirror, path, faults = self.server, self.path, self.server.faults
        mirror.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if faults.away and path.startswith("/v2/") and not faults.break_after:
            faults.away -= 1
            self.send(faults.status, BAD_GATEWAY.encode())
        elif any(part in path for part in faults.missing):
            self.send(404)
        elif "/manifests/" in path:
            name = ":".join(path.split("/manifests/")).rpartition("/")[2]
            self.send(200 if name in mirror.registry.manifests else 404, mirror.registry.manifests.get(name, b""))
        elif "/blobs/" in path:
            self.blob(path.rpartition("/")[2])
        else:
            file = mirror.root / path.lstrip("/")
            data = file.read_bytes() if file.is_file() else b""
            if faults.wrong_checksums and file.name == "sha256sum.txt":
                data = b"0" * 64 + data[64:]
            self.send(200 if data else 404, data)

    do_HEAD = do_GET  # noqa: N815 - names of http.server

    def send(self, status: int, data: bytes = b"", start: int = 0, **headers: str) -> None:
        """Answer at the pace, and as far as, the faults allow."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - start))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for at in range(start, len(data) if self.command != "HEAD" else 0, _CHUNK):
            self.server.hold(at)
            self.wfile.write(data[at : at + _CHUNK])

    def blob(self, digest: str) -> None:
        mirror, data = self.server, self.server.registry.blobs.get(digest, b"")
        if "Range" not in self.headers and not mirror.faults.no_redirect:
            host = str(urlsplit(f"//{self.headers['Host']}").hostname)
            other = mirror.names[mirror.names[0] == host]
            self.send(307, Location=f"http://{other}:{mirror.server_port}{self.path}")
            return
        if digest in mirror.faults.tampered:
            data = data[:-1] + bytes([data[-1] ^ 0xFF])
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        self.send(206 if "Range" in self.headers else 200, data, start)


class Mirror(ThreadingHTTPServer):
    """The mirror; serves while its block lasts.

    Args:
        root: folder of the releases.
        address: where it listens.
        names: two host names of that address; the registry sends files from the other one, as Ollama insists.
    """

    daemon_threads = True

    def __init__(
        self, root: Path, *, address: str = "127.0.0.1", names: tuple[str, str] = ("127.0.0.1", "localhost")
    ) -> None:
        super().__init__((address, 0), _Handler)
        self.root, self.names = root.resolve(), names
        self.registry = RegistryContent()
        self.faults = Faults()
        self.requests: list[str] = []
        self.url = f"http://{names[0]}:{self.server_port}"
        self.stopping = threading.Event()
        self._frozen_until = 0.0

    def server_bind(self) -> None:
        # Without the base class's look-up of the host's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def hold(self, sent: int) -> None:
        """Wait, or end the connection, where the faults say so."""
        faults = self.faults
        if 0 < faults.break_after <= sent:
            faults.break_after = 0
            raise ConnectionAbortedError
        if faults.freeze and sent >= faults.freeze_after:
            self._frozen_until = self._frozen_until or time.monotonic() + faults.freeze
            if self.stopping.wait(max(0.0, self._frozen_until - time.monotonic())):
                raise ConnectionAbortedError

    def __enter__(self) -> Mirror:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
