"""A host with systemd in a container of the local Docker engine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.lab import ROOT, wait_until

BASE = "genailabs/base:bookworm"  # the hub's images stand on it, too
FOLDER = Path("/var/tmp/genailabs-molecule")
RECIPE = ROOT / "tests" / "hosts" / "image"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# What systemd needs of the engine; --privileged asks for more than a virtual machine may have.
FLAGS = [
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined", "--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock"),
]

ASK = """
import sys, urllib.error, urllib.request
port, path, key = sys.argv[1:]
headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})}
request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", sys.stdin.buffer.read() or None, headers)
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


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


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """Let no other run of the tests into a block of that name: what both would make is made once."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_images() -> dict[str, str]:
    """Have the hub's images and their base; return what each is built as, by the name that it is published under."""
    workspace = FOLDER / "images"
    for folder in ("config", "downloads"):
        (workspace / folder).mkdir(parents=True, exist_ok=True)
    variables = {"lab_home": str(workspace), "lab_source": str(ROOT)}
    command = [Path(sys.executable).with_name("ansible-playbook"), ROOT / "tests/hosts/images.yml"]
    settings = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg")}
    extra = ["-e", f"@{ROOT / 'ansible/group_vars/all/versions.yml'}", "-e", json.dumps(variables)]
    with alone("images"):
        done = subprocess.run(
            [*command, *extra], cwd=ROOT / "ansible", env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        built: dict[str, str] = json.loads((workspace / "built.json").read_text())
    return built


def image() -> str:
    """The host's image, made where the engine does not have it: its tag is the digest of its recipe."""
    tag = f"genailabs-test-host:{hashlib.sha256((RECIPE / 'Dockerfile').read_bytes()).hexdigest()[:12]}"
    if not docker("images", "-q", BASE).strip():
        build_images()
    with alone("host"):
        if not docker("images", "-q", tag).strip():
            docker("build", "-q", "--build-arg", f"BASE={BASE}", "-t", tag, str(RECIPE))
    return tag


class Machine:
    """A host that runs; `start_machine` makes one.

    Args:
        name: Name of its container.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def address(self) -> str:
        """Its address on the engine's bridge."""
        return docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", self.name).strip()

    @property
    def bridge(self) -> str:
        """The address of this machine that it reaches."""
        return docker("inspect", "--format", "{{.NetworkSettings.Gateway}}", self.name).strip()

    def wait_booted(self) -> None:
        """Wait until all that starts at boot has started."""
        states = ("running", "degraded")
        wait_until(lambda: self.run("systemctl", "is-system-running", check=False).strip() in states, 120, "boot")

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

    def read_env(self, path: str) -> dict[str, str]:
        """Variables of a NAME=value file on the host."""
        return dict(line.split("=", 1) for line in self.run("cat", path).splitlines() if "=" in line)

    def ask(self, port: int, path: str, body: dict[str, Any] | None = None, key: str = "") -> tuple[int, str]:
        """A request from the host to its own loopback; gives the answer's status and text."""
        answer = self.run("python3", "-c", ASK, str(port), path, key, text=json.dumps(body) if body else "")
        status, _, text = answer.partition(" ")
        return int(status), text

    def request(self, port: int, path: str, body: dict[str, Any] | None = None, key: str = "") -> Any:
        """A request whose answer must be a success and JSON."""
        status, text = self.ask(port, path, body, key)
        assert status == 200, text
        return json.loads(text)

    def play(self, playbook: Path, variables: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook of this machine against the host."""
        host = {"ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
        groups = {name: {"hosts": {self.name: {}}} for name in ("database", "models", "hub", "workbench")}
        inventory = {"lab": {"hosts": {self.name: host}, "children": groups}}
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
                timeout=900,
                check=False,
            )

    def remove(self) -> None:
        """Remove the host with all that is on it."""
        docker("rm", "-f", "-v", self.name)


def start_machine(name: str, hosts: tuple[str, ...], volumes: tuple[str, ...] = ()) -> Machine:
    """Start a host.

    Args:
        name: Name of its container.
        hosts: Names for the address of the engine's bridge, as the host knows them.
        volumes: Folders on file systems of their own.
    """
    options = [word for host in hosts for word in ("--add-host", f"{host}:host-gateway")]
    options += [word for volume in volumes for word in ("-v", volume)]
    options += ["-v", f"{AUTHORITIES}:{AUTHORITIES}:ro"]
    docker("run", "-d", "--name", name, "--hostname", "labhost", *FLAGS, *options, image())
    machine = Machine(name)
    machine.wait_booted()
    assert machine.run("systemctl", "is-system-running", check=False).strip() == "running"
    return machine
