"""Servers that a benchmark starts and stops."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

START_S = 240.0


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Its address, without a slash at the end.
        process: Its main process.
        token: What a Jupyter server asks for; empty elsewhere.
    """

    url: str
    process: psutil.Process
    token: str = ""

    def tree(self) -> list[psutil.Process]:
        """The main process and all below it."""
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(
    build: Path, name: str, command: list[str | Path], port: int, path: str = "/", token: str = "", **environment: str
) -> Iterator[Server]:
    """Run a server for the block; it is up when it answers at `path`.

    Args:
        build: Folder for its home (`home/NAME`) and its log (`NAME.log`).
        name: Names these.
        command: Program and arguments.
        port: Where it listens.
        path: What it answers when it is up.
        token: See `Server`.
        **environment: Variables beside those of this process.
    """
    home = build / "home" / name
    home.mkdir(parents=True, exist_ok=True)
    log = build / f"{name}.log"
    # Byte code is kept, whatever the caller's shell says: without it a start takes minutes.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settings = inherited | {"HOME": str(home), "TMPDIR": os.environ.get("TMPDIR", "/tmp")} | environment
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=home, env=settings, stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url + path, process, log)
        yield Server(url, psutil.Process(process.pid), token)
    finally:
        _end(process)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(OSError):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # it answers
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{url} does not answer; the end of {log}:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in below:
        with suppress(psutil.NoSuchProcess):
            child.kill()
