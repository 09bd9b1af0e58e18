"""A host with systemd in a container of the local Docker engine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.lab import ROOT, wait_until

BASE = "genailabs-test-base:bookworm"
RECIPE = ROOT / "tests" / "host_image"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# What systemd needs of the engine; --privileged asks for more than a virtual machine may have.
FLAGS = [
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined", "--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock"),
]


def docker(*words: str, check: bool = True, text: str | None = None) -> str:
    """Run the engine's command line; give its output."""
    done = subprocess.run(["docker", *words], input=text, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def engine_answers() -> bool:
    """Whether there is an engine, and what its images are made with."""
    try:
        tools = [["docker", "info"], ["debootstrap", "--version"]]
        return all(subprocess.run(tool, capture_output=True, check=False).returncode == 0 for tool in tools)
    except FileNotFoundError:
        return False


def image() -> str:
    """The host's image, made where the engine does not have it: its tag is the digest of its recipe."""
    tag = f"genailabs-test-host:{hashlib.sha256((RECIPE / 'Dockerfile').read_bytes()).hexdigest()[:12]}"
    if docker("images", "-q", tag).strip():
        return tag
    if not docker("images", "-q", BASE).strip():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["debootstrap", "--variant=minbase", "bookworm", folder], check=True, capture_output=True)
            with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
                subprocess.run(["docker", "import", "-", BASE], stdin=tar.stdout, check=True, capture_output=True)
    docker("build", "-q", "--build-arg", f"BASE={BASE}", "-t", tag, str(RECIPE))
    return tag


class Machine:
    """A started host.

    Args:
        name: Name of the container.
        mounts: Folders of this machine that the host can read, and where.
        hosts: Names for the address of the engine's bridge, as the host knows them.
        volumes: Folders on file systems of their own.
    """

    def __init__(
        self, name: str, mounts: dict[Path, str], hosts: tuple[str, ...], volumes: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        options = [word for host in hosts for word in ("--add-host", f"{host}:host-gateway")]
        options += [word for volume in volumes for word in ("-v", volume)]
        for source, target in {**mounts, Path(AUTHORITIES): AUTHORITIES}.items():
            options += ["-v", f"{source}:{target}:ro"]
        docker("run", "-d", "--name", name, "--hostname", "labhost", *FLAGS, *options, image())
        self.bridge = docker("inspect", "--format", "{{.NetworkSettings.Gateway}}", name).strip()
        wait_until(lambda: self.run("systemctl", "is-system-running", check=False).strip() == "running", 60, "boot")

    def run(self, *words: str, check: bool = True, text: str | None = None) -> str:
        """Run a command on the host; give its output."""
        return docker("exec", *(["-i"] if text is not None else []), self.name, *words, check=check, text=text)

    def shell(self, script: str, check: bool = True) -> str:
        """Run a script of the shell on the host; give its output."""
        return self.run("sh", "-c", script, check=check)

    def write(self, path: str, text: str) -> None:
        """Write a file on the host."""
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", text=text)

    def property(self, unit: str, name: str) -> str:
        """A property of one of the host's units."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def request(self, port: int, path: str, body: dict[str, Any] | None = None) -> Any:
        """A request to a service on the host's loopback; its answer is JSON."""
        script = (
            "import sys, urllib.request; "
            f"print(urllib.request.urlopen('http://127.0.0.1:{port}{path}', sys.stdin.buffer.read() or None, 60)"
            ".read().decode())"
        )
        return json.loads(self.run("python3", "-c", script, text=json.dumps(body) if body else ""))

    def play(self, playbook: Path, variables: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook of this machine against the host."""
        inventory = {
            "lab": {
                "hosts": {
                    self.name: {
                        "ansible_connection": "community.docker.docker",
                        "ansible_python_interpreter": "/usr/bin/python3",
                    }
                }
            }
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(inventory, file)
            file.flush()
            settings = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "LAB_"))}
            settings |= {"ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
            command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), "-i", file.name]
            return subprocess.run(
                [*command, "-e", json.dumps(variables), *options],
                cwd=ROOT / "ansible",
                env=settings,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )

    def remove(self) -> None:
        """Remove the host with all that is on it."""
        docker("rm", "-f", "-v", self.name)
