"""A host's Docker engine, as its command line shows it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network

ANSWER_TIMEOUT_S = 10
MINIMUM_COMPOSE = (2, 18)  # what community.docker's module for compose asks for
BUILDKIT_ALONE = 23  # from this version on the command line needs its buildx plugin for BuildKit


@dataclass(frozen=True)
class Engine:
    """What was found.

    Attributes:
        cli: The command line; empty where there is none.
        version: The running engine's version; empty where none answers.
        compose: Version of the compose plugin; empty where it is missing or too old.
        builder: A command line that can build with BuildKit; empty where there is none.
        debootstrap: The program that makes the base of built images; empty where there is none.
    """

    cli: str = ""
    version: str = ""
    compose: str = ""
    builder: str = ""
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


def can_build(cli: str) -> bool:
    """Whether the command line can build with BuildKit, which secrets need."""
    if output_of(cli, "buildx", "version"):
        return True
    client = version_of(output_of(cli, "version", "--format", "{{.Client.Version}}"))
    return bool(client) and client[0] < BUILDKIT_ALONE


def find() -> Engine:
    """Look for the engine and its tools; the first command line on PATH wins."""
    candidates = [path for path in (shutil.which("docker"), "/usr/bin/docker") if path and os.access(path, os.X_OK)]
    if not candidates:
        return Engine()
    cli = candidates[0]
    compose = output_of(cli, "compose", "version", "--short")
    return Engine(
        cli=cli,
        version=output_of(cli, "version", "--format", "{{.Server.Version}}"),
        compose=compose if version_of(compose) >= MINIMUM_COMPOSE else "",
        builder=next((path for path in dict.fromkeys(candidates) if can_build(path)), ""),
        debootstrap=shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "",
    )


def published_ports(cli: str, project: str) -> set[int]:
    """Ports of the host that the containers of a compose project publish."""
    lines = output_of(cli, "ps", "--filter", f"label=com.docker.compose.project={project}", "--format", "{{.Ports}}")
    return {int(port) for port in re.findall(r":(\d+)->", lines)}


def networks(cli: str) -> dict[str, list[IPv4Network]]:
    """The engine's networks and their IPv4 subnets."""
    found = {}
    shown = "{{.Name}}{{range .IPAM.Config}} {{.Subnet}}{{end}}"
    for network in output_of(cli, "network", "ls", "--quiet").split():
        # One by one: a network that is removed meanwhile must not hide the others.
        if words := output_of(cli, "network", "inspect", "--format", shown, network).split():
            found[words[0]] = [IPv4Network(subnet) for subnet in words[1:] if ":" not in subnet]
    return found
