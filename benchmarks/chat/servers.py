"""The processes of the benchmark, each started here and stopped here."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.chat.environments import BUILD
from benchmarks.environments import ROOT
from benchmarks.processes import Server
from tests.support.lab import free_ports

QUIET_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
running = partial(processes.running, BUILD)


@contextmanager
def stub() -> Iterator[Server]:
    """The model server of known answers."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.chat.stub", str(port)]
    with running("stub", command, port, "/log", PYTHONPATH=str(ROOT)) as server:
        yield server


@contextmanager
def jupyter(name: str, environment: Path, *options: str, **variables: str) -> Iterator[Server]:
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
        *options,
    ]
    folders = {f"JUPYTER_{kind}_DIR": str(home / f".jupyter-{kind.lower()}") for kind in ("CONFIG", "DATA", "RUNTIME")}
    own = {"IPYTHONDIR": str(home / ".ipython"), "JUPYTER_TOKEN": token, **folders}
    with running(name, command, port, "/api", token, **own, **variables) as server:
        yield server


def get_json(url: str) -> Any:
    """The JSON document at an address."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())
