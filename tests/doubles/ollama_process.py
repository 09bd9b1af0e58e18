"""Runs the double as a process: an unpacked release, its folders and its port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.doubles.build_ollama_archive import members

START_SECONDS = 20.0


def unpack(folder: Path, python: Path) -> Path:
    """Write the double's files into `folder`, as unpacking its archive would; gives the path of `bin/ollama`."""
    for name, (content, mode) in members(python).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    return folder / "bin" / "ollama"


def free_port() -> int:
    """A port on 127.0.0.1 that nothing uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `condition` holds.

    Raises:
        TimeoutError: it did not within `seconds`; names `what`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body's lines as they come; unlike the response's own iterator, a cut body raises IncompleteRead."""
    rest = b""
    while data := response.read1():
        *lines, rest = (rest + data).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


@dataclass
class Reply:
    """An answer: status, headers with small letters, and the body's lines with their line feeds."""

    status: int
    headers: dict[str, str]
    lines: list[str] = field(default_factory=list)
    complete: bool = True

    @property
    def values(self) -> list[Any]:
        """Each line that is JSON, read."""
        return [json.loads(line) for line in self.lines]


class OllamaProcess:
    """A running `ollama serve`.

    Args:
        binary: `bin/ollama` of an unpacked release.
        folder: holds its home and, unless `models` says otherwise, its models.
        models: what `OLLAMA_MODELS` becomes.
        environment: further variables.
        prefix: a command that starts it, for example in a name space of its own.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        models: Path | None = None,
        environment: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.models = models or folder / "models"
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.command = [*prefix, str(binary), "serve"]
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "OLLAMA_MODELS": str(self.models),
            **(environment or {}),
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> OllamaProcess:
        """Start it and wait until it answers.

        Raises:
            TimeoutError: it does not; the text holds its log.
        """
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        try:
            wait_for(self.ready, "ollama answers")
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"{error}: {self.log}") from error
        return self

    @property
    def log(self) -> str:
        """What it printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def ready(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.call("GET", "/api/version").status == 200
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal and wait for its end."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)

    def stop(self) -> None:
        """End it."""
        self.signal(signal.SIGTERM)

    def __enter__(self) -> OllamaProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()

    @contextlib.contextmanager
    def open(
        self, method: str, path: str, body: Any = None, raw: str | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and give the response, unread; leaving the block hangs up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        data = raw if raw is not None else None if body is None else json.dumps(body)
        with contextlib.closing(connection):
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            try:
                yield response
            finally:
                response.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: str | None = None,
        on_line: Callable[[int], bool | None] | None = None,
    ) -> Reply:
        """Send a request and read the answer; `on_line` sees the number of lines so far and ends reading with True."""
        with self.open(method, path, body, raw) as response:
            headers = {key.lower(): value for key, value in response.getheaders()}
            reply = Reply(response.status, headers)
            try:
                for line in _lines(response):
                    reply.lines.append(line.decode())
                    if on_line and on_line(len(reply.lines)):
                        break
            except (http.client.HTTPException, ConnectionError):
                reply.complete = False
            return reply

    def pull(self, model: str) -> Reply:
        """Pull from a plain-HTTP registry."""
        return self.call("POST", "/api/pull", {"model": model, "insecure": True})
