"""The processes of the benchmark, each started here and stopped here."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chat.environments import BUILD, ROOT
from tests.support.lab import free_ports

START_S = 240.0
QUIET_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


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
    name: str, command: list[str | Path], port: int, path: str = "/", token: str = "", **environment: str
) -> Iterator[Server]:
    """Run a server for the block; it is up when it answers at `path`. Its output goes to a log in the build folder."""
    home = BUILD / "home" / name
    home.mkdir(parents=True, exist_ok=True)
    log = BUILD / f"{name}.log"
    settings = os.environ | {"HOME": str(home), "TMPDIR": os.environ.get("TMPDIR", "/tmp")} | environment
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


@contextmanager
def stub() -> Iterator[Server]:
    """The model server of known answers."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.chat.stub", str(port)]
    with running("stub", command, port, "/log", PYTHONPATH=str(ROOT)) as server:
        yield server


@contextmanager
def jupyter(name: str, environment: Path, **variables: str) -> Iterator[Server]:
    """JupyterLab of a virtual environment, with folders of its own for all that it reads and keeps."""
    [port] = free_ports(1)
    home = BUILD / "home" / name
    (home / "notebooks").mkdir(parents=True, exist_ok=True)
    (home / "settings").mkdir(exist_ok=True)
    (home / "settings/overrides.json").write_text(json.dumps(QUIET_SETTINGS))
    token = secrets.token_hex(16)
    command: list[str | Path] = [
        environment / "bin/jupyter-lab",
        "--allow-root",
        "--no-browser",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={home / 'notebooks'}",
        f"--LabApp.app_settings_dir={home / 'settings'}",
    ]
    folders = {f"JUPYTER_{kind}_DIR": str(home / f".jupyter-{kind.lower()}") for kind in ("CONFIG", "DATA", "RUNTIME")}
    own = {"IPYTHONDIR": str(home / ".ipython"), "JUPYTER_TOKEN": token, **folders}
    with running(name, command, port, "/api", token, **own, **variables) as server:
        yield server


def get_json(url: str) -> Any:
    """The JSON document at an address."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())
