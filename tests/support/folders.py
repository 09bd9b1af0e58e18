"""Folders of the labs under test; what a run that was killed left in them, and running from them, is removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.hosts.machine import docker, engine_answers
from tests.support.lab import read_env

PARENT, PREFIX = Path("/var/tmp"), "labtest-"


@contextlib.contextmanager
def lab_folder() -> Iterator[Path]:
    """A folder that the services' accounts can enter, on a short path, as sockets need it; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
    with held(folder):
        folder.chmod(0o755)
        yield folder
        shutil.rmtree(folder)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder: the lock ends with this process, however it ends.

    Raises:
        BlockingIOError: Another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers() -> None:
    """Remove the folders that no run holds any more, with their processes, containers, volumes and networks.

    A lab's containers come back with the engine: they would take addresses, memory and time from the next run. A host
    in a container has its folder's name.
    """
    for folder in PARENT.glob(f"{PREFIX}*"):
        # Another run's, another user's, or still being written to: the next run looks again.
        with contextlib.suppress(OSError), held(folder):
            projects = [read_env(file)["LAB_NAME"] for name in ("hub.env", ".env") for file in folder.glob(f"*/{name}")]
            engine = engine_answers()
            if projects and not engine:
                continue
            subprocess.run(["pkill", "-KILL", "-f", f"{folder}/"], check=False)
            if engine:
                remove("container", f"name={folder.name}")
                for project in projects:
                    remove_project(project)
            shutil.rmtree(folder)


def remove_project(name: str) -> None:
    """Remove what compose made."""
    for kind in ("container", "network", "volume"):
        remove(kind, f"label=com.docker.compose.project={name}")


def remove(kind: str, which: str) -> None:
    """Remove the engine's objects that pass a filter; containers also while they run, and with their own volumes."""
    everything, options = (["--all"], ["--force", "--volumes"]) if kind == "container" else ([], [])
    if found := docker(kind, "ls", "--quiet", *everything, "--filter", which).split():
        docker(kind, "rm", *options, *found)
