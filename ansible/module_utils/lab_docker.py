"""A host's Docker engine, as its command line shows it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

ANSWER_TIMEOUT_S = 10
MINIMUM_COMPOSE = (2, 18)  # what community.docker's module for compose asks for
# By the name among the engine's security options: what is in the way of the host's network, and the remedy.
ISOLATIONS = {
    "rootless": (
        "this Docker runs rootless, and what it takes for the host's network is not this host's",
        "Let the command line speak to the host's own engine (docker context use default), or use lab_profile=embedded",
    ),
    "userns": (
        "this Docker remaps user ids (userns-remap), and then gives no container the host's network",
        "Take userns-remap out of /etc/docker/daemon.json, or use lab_profile=embedded",
    ),
}


@dataclass(frozen=True)
class Engine:
    """What was found.

    Attributes:
        cli: The command line; empty where there is none.
        version: The running engine's version; empty where none answers.
        compose: Version of the compose plugin; empty where it is missing or too old.
        buildx: Version of the buildx plugin; empty where it is missing.
        isolation: A key of `ISOLATIONS`; empty where the containers can have the host's network.
        debootstrap: The program that makes the base of built images; empty where there is none.
    """

    cli: str = ""
    version: str = ""
    compose: str = ""
    buildx: str = ""
    isolation: str = ""
    debootstrap: str = ""


def output_of(*command: str) -> str:
    """A command's output, empty where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def version_of(text: str) -> tuple[int, ...]:
    """The first dotted number in a text, empty where there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def find() -> Engine:
    """Look for the engine and its tools; the first command line on PATH wins."""
    candidates = [path for path in (shutil.which("docker"), "/usr/bin/docker") if path and os.access(path, os.X_OK)]
    if not candidates:
        return Engine()
    cli = candidates[0]
    compose = output_of(cli, "compose", "version", "--short")
    security = output_of(cli, "info", "--format", "{{.SecurityOptions}}")
    return Engine(
        cli=cli,
        version=output_of(cli, "version", "--format", "{{.Server.Version}}"),
        compose=compose if version_of(compose) >= MINIMUM_COMPOSE else "",
        buildx=output_of(cli, "buildx", "version"),
        isolation=next((name for name in ISOLATIONS if f"name={name}" in security), ""),
        debootstrap=shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "",
    )
