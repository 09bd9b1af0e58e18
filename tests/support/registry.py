"""Debian's docker-registry."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.lab import answers, wait_until


def program(name: str) -> str:
    """Where a program lies; an ordinary user's PATH lacks the administrator's folder."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert path, f"{name} is not installed: make test installs it, or names its package"
    return path


def start_registry(folder: Path, port: int, address: str = "127.0.0.1", **options: Any) -> subprocess.Popen[bytes]:
    """Start a registry; what is pushed to it lies in `folder`/registry and stays from one start to the next.

    Args:
        folder: Its folder.
        port: The port that it answers at.
        address: The address that it answers at.
        options: Of the process, as `subprocess.Popen` takes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": f"{address}:{port}"}}))
    with (folder / "registry.log").open("ab") as log:
        process = subprocess.Popen([program("docker-registry"), "serve", config], stdout=log, stderr=log, **options)
    wait_until(lambda: answers(address, port), 20, "the registry answers")
    return process


@contextlib.contextmanager
def registry(folder: Path, port: int) -> Iterator[str]:
    """A registry on loopback as long as the block lasts; gives its address."""
    process = start_registry(folder, port)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
