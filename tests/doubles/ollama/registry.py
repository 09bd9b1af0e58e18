"""Pulls models from a registry the way Ollama does it, its peculiarities included."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import io
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from .names import ModelName
from .store import Store

PROGRESS_INTERVAL = 0.06
RETRIES = 6
_CHUNK = 64 * 1024
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class PullError(Exception):
    """A pull failed; the text is Ollama's."""


class Cancelled(Exception):  # noqa: N818 - nothing failed
    """Nobody waits for the download any more, or the server stops."""


def _address_error(host: str, port: int, error: OSError) -> str:
    """What Go says about a connection that did not come about."""
    if isinstance(error, socket.gaierror):
        servers = [line.split()[1] for line in _resolv_conf() if line.startswith("nameserver")]
        return f"dial tcp: lookup {host} on {(servers or ['127.0.0.1'])[0]}:53: no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    if isinstance(error, ssl.SSLError):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    return f"dial tcp {host}:{port}: {(error.strerror or str(error)).lower()}"


def _resolv_conf() -> list[str]:
    try:
        return Path("/etc/resolv.conf").read_text().splitlines()
    except OSError:
        return []


def _get(url: str, headers: dict[str, str], timeout: float | None, method: str = "GET") -> http.client.HTTPResponse:
    """Send one request; the connection ends with the response."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname or "", port, timeout=timeout)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=timeout)
    try:
        connection.request(method, parts.path, headers={**headers, "Connection": "close"})
        return connection.getresponse()
    except TimeoutError:
        connection.close()
        raise
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        reason = _address_error(parts.hostname or "", port, error) if isinstance(error, OSError) else "EOF"
        raise PullError(f'{method.title()} "{url}": {reason}') from error


def fetch_manifest(base: str, name: ModelName) -> bytes:
    """Get a manifest; waits for as long as the registry likes.

    Raises:
        PullError: the registry is out of reach or does not have it.
    """
    url = f"{base}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
    try:
        response = _get(url, {"Accept": _MANIFEST}, None)
        body = response.read()
    except PullError as error:
        raise PullError(f"pull model manifest: {error}") from error
    if response.status == 404:
        raise PullError("pull model manifest: file does not exist")
    if response.status >= 400:
        raise PullError(f"pull model manifest: {response.status}: {body.decode(errors='replace')}")
    return body


@dataclass
class _Part:
    """Progress of a download, kept beside it so that the next pull goes on from there."""

    path: Path
    size: int
    completed: int = 0

    def load(self) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            self.completed = int(json.loads(self.path.read_text())["Completed"])

    def save(self) -> None:
        # A server that is killed cannot write this: its progress is lost, as with Ollama.
        with contextlib.suppress(OSError):
            self.path.write_text(json.dumps({"N": 0, "Offset": 0, "Size": self.size, "Completed": self.completed}))


class Download:
    """One blob on its way; all pulls that need it share it."""

    def __init__(self, url: str, target: Path, size: int, stall: float) -> None:
        self.url = url
        self.target = target
        self.partial = target.with_name(target.name + "-partial")
        self.part = _Part(target.with_name(target.name + "-partial-0"), size)
        self.stall = stall
        self.waiting = 0
        self.cancelled = threading.Event()
        self.done = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Download until the blob is there, the retries are used up or nobody waits."""
        try:
            self.part.load()
            direct = self._direct_url()
            self.partial.touch()
            os.truncate(self.partial, self.part.size)
            self._attempts(direct)
            self.part.path.unlink(missing_ok=True)
            self.partial.rename(self.target)
        except (PullError, Cancelled, OSError) as error:
            self.error = error
        finally:
            self.done.set()

    def _direct_url(self) -> str:
        """Follow redirects on the registry's own host; the first to another host is where the bytes are."""
        url, host = self.url, urlsplit(self.url).hostname
        for _ in range(10):
            response = _get(url, {}, None)
            location = response.getheader("Location")
            response.close()
            if response.status == 404:
                raise PullError("file does not exist")
            if response.status >= 400:
                raise PullError(f"{response.status}: {response.reason}")
            if not location:
                raise PullError("http: no Location header in response")
            url = urljoin(url, location)
            if urlsplit(url).hostname != host:
                return url
        raise PullError("stopped after 10 redirects")

    def _attempts(self, direct: str) -> None:
        failures = 0
        while self.part.completed < self.part.size:
            before = self.part.completed
            try:
                self._transfer(direct)
            except TimeoutError:
                continue  # stalled: Ollama asks for the rest again, without counting it as a failure
            except (PullError, http.client.HTTPException, ConnectionError) as error:
                failures = 0 if self.part.completed > before else failures + 1
                if failures >= RETRIES:
                    raise PullError(f"max retries exceeded: {error or 'unexpected EOF'}") from error
                if self.cancelled.wait(min(2.0**failures, 8.0)):
                    raise Cancelled from error
            finally:
                self.part.save()

    def _transfer(self, direct: str) -> None:
        headers = {"Range": f"bytes={self.part.completed}-{self.part.size - 1}"}
        response = _get(direct, headers, self.stall)
        if response.status >= 400:
            raise PullError(f"{response.status}: {response.reason}")
        with contextlib.closing(response), self.partial.open("r+b", buffering=0) as file:
            file.seek(self.part.completed)
            while self.part.completed < self.part.size:
                chunk = response.read1(_CHUNK)
                if self.cancelled.is_set():
                    raise Cancelled
                if not chunk:
                    raise PullError("unexpected EOF")
                self._write(file, chunk)

    def _write(self, file: io.FileIO, chunk: bytes) -> None:
        while chunk:
            try:
                written = file.write(chunk)
            except OSError as error:
                reason = os.strerror(error.errno or errno.EIO).lower()
                raise OSError(f"write {self.partial}: {reason}") from error
            self.part.completed += written
            chunk = chunk[written:]


class Puller:
    """All pulls of one server."""

    def __init__(self, store: Store, stall: float) -> None:
        self.store = store
        self.stall = stall
        self._downloads: dict[str, Download] = {}
        self._lock = threading.Lock()

    def pull(self, name: ModelName, insecure: bool) -> Generator[dict[str, Any], None, None]:
        """Bring a model, giving each line of progress.

        Raises:
            PullError: the pull failed.
            OSError: the disk refused; the text is Ollama's.
        """
        yield {"status": "pulling manifest"}
        base = f"{'http' if insecure else 'https'}://{name.host}"
        raw = fetch_manifest(base, name)
        manifest = json.loads(raw)
        fresh = []
        for layer in [*manifest["layers"], manifest["config"]]:
            digest, target = layer["digest"], self.store.blob(layer["digest"])
            status = {"status": f"pulling {digest[7:19]}", "digest": digest}
            if target.exists():
                size = target.stat().st_size
                yield {**status, "total": size, "completed": size}
                continue
            fresh.append(digest)
            url = f"{base}/v2/{name.namespace}/{name.model}/blobs/{digest}"
            for completed in self._download(url, target, int(layer["size"])):
                yield {**status, "total": int(layer["size"]), "completed": completed}
        yield {"status": "verifying sha256 digest"}
        for digest in fresh:
            self._verify(digest)
        yield {"status": "writing manifest"}
        self.store.write(name, raw)
        yield {"status": "success"}

    def _download(self, url: str, target: Path, size: int) -> Iterator[int]:
        with self._lock:
            download = self._downloads.get(target.name)
            if download is None:
                download = self._downloads[target.name] = Download(url, target, size, self.stall)
                threading.Thread(target=download.run, daemon=True).start()
            download.waiting += 1
        try:
            while not download.done.wait(PROGRESS_INTERVAL):
                yield download.part.completed
        finally:
            with self._lock:
                download.waiting -= 1
                if download.waiting == 0:
                    download.cancelled.set()
                    self._downloads.pop(target.name, None)
        if download.error:
            raise download.error

    def _verify(self, digest: str) -> None:
        path = self.store.blob(digest)
        with path.open("rb") as file:
            found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            path.unlink()
            raise PullError(f"digest mismatch, file must be downloaded again: want {digest}, got {found}")

    def stop(self) -> None:
        """End all downloads, their progress kept."""
        with self._lock:
            downloads = list(self._downloads.values())
        for download in downloads:
            download.cancelled.set()
        deadline = time.monotonic() + 2
        for download in downloads:
            download.done.wait(max(0.0, deadline - time.monotonic()))
