"""The host and the outside world of the Molecule scenario `containers`: `python -m tests.host.scenario up|down`.

The outside world is a registry with the hub's images (built here: the official ones stand behind names that only the
internet has) and a mirror with a release of the Ollama double and its models. Both listen on the engine's bridge.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import yaml

from tests.doubles.build_ollama_archive import build
from tests.doubles.mirror import Mirror
from tests.doubles.runtime import model_file, runtime_python
from tests.host.machine import Machine, docker
from tests.support.lab import ROOT, free_ports, wait_until

NAME = "genailabs-molecule-host"
STATE = Path("/var/tmp/genailabs-molecule")
DOUBLE = "/opt/double"
NAMES = ("mirror-one.test", "mirror-two.test")
TAGS = ("tinyllama:1.1b", "qwen2.5:0.5b", "phi:latest", "smollm2:135m")
VOLUMES = ("/var/lib/docker", "/var/lib/containerd")  # an engine in the container needs file systems of its own


def answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def build_images() -> dict[str, str]:
    """Have the images; return the name that each is built under by the name that it is published under."""
    variables = {"lab_home": str(STATE), "lab_source": str(ROOT)}
    command = [Path(sys.executable).with_name("ansible-playbook"), ROOT / "tests/host/images.yml"]
    settings = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg")}
    extra = ["-e", f"@{ROOT / 'ansible/group_vars/all/versions.yml'}", "-e", json.dumps(variables)]
    subprocess.run([*command, *extra], cwd=ROOT / "ansible", env=settings, check=True)
    built: dict[str, str] = json.loads((STATE / "built.json").read_text())
    return built


def serve_registry(address: str, port: int) -> subprocess.Popen[bytes]:
    """Start Debian's docker-registry; what was pushed to it stays from one start to the next."""
    config = STATE / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(STATE / "registry")}}
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": f"{address}:{port}"}}))
    with (STATE / "registry.log").open("ab") as log:
        process = subprocess.Popen(["docker-registry", "serve", config], start_new_session=True, stdout=log, stderr=log)
    wait_until(lambda: answers(address, port), 20, "registry")
    return process


def publish(images: dict[str, str], port: int) -> None:
    """Push images under their published names; the engine speaks plain HTTP to loopback alone."""
    registry = serve_registry("127.0.0.1", port)
    for published, name in images.items():
        target = f"127.0.0.1:{port}/{published.partition('/')[2]}"
        docker("tag", name, target)
        docker("push", "-q", target)
        docker("image", "rm", target)
    registry.terminate()
    registry.wait()


def serve_mirror(address: str) -> None:
    """Serve releases and models until the process is ended; say where in a file."""
    python = runtime_python(STATE)
    (STATE / "mirror").mkdir()
    with Mirror(STATE / "mirror", address=address, names=NAMES) as mirror:
        for tag in TAGS:
            mirror.registry.add(tag, model_file(python))
        build(mirror.root, Path(DOUBLE) / "bin" / "python", "0.32.15")
        (STATE / "mirror.url").write_text(mirror.url)
        signal.pause()


def up() -> None:
    """Start everything; write where the outside world is, and the processes to end."""
    down()
    for folder in ("config", "downloads"):
        (STATE / folder).mkdir(parents=True)
    images, [port] = build_images(), free_ports(1)
    publish(images, port)
    python = runtime_python(STATE)
    machine = Machine(NAME, {python.parent.parent: DOUBLE}, NAMES, volumes=VOLUMES)
    registry = serve_registry(machine.bridge, port)
    module = [sys.executable, "-m", "tests.host.scenario", "mirror", machine.bridge]
    mirror = subprocess.Popen(module, cwd=ROOT, start_new_session=True)
    (STATE / "processes").write_text(f"{registry.pid} {mirror.pid}")
    wait_until((STATE / "mirror.url").exists, 60, "mirror")
    url = (STATE / "mirror.url").read_text()
    machine.write("/etc/docker/daemon.json", json.dumps({"insecure-registries": [f"{machine.bridge}:{port}"]}))
    (STATE / "outside.json").write_text(json.dumps({"registry": f"{machine.bridge}:{port}", "mirror": url}))


def down() -> None:
    """End and remove everything."""
    if (STATE / "processes").exists():
        for process in (STATE / "processes").read_text().split():
            subprocess.run(["kill", process], check=False)
    docker("rm", "-f", "-v", NAME, check=False)
    shutil.rmtree(STATE, ignore_errors=True)


if __name__ == "__main__":
    {"up": up, "down": down, "mirror": lambda: serve_mirror(sys.argv[2])}[sys.argv[1]]()
