"""The host and the outside world of Molecule's scenario: `python -m tests.hosts.scenario up|down`.

The outside world is a mirror with a release of the Ollama double and its models, and a registry with the hub's images
(built here: the official ones stand behind names that only the internet has). Both listen on the engine's bridge.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

from tests.doubles.build_ollama_archive import build
from tests.doubles.mirror import Mirror
from tests.hosts.machine import FOLDER, build_images, docker, start_machine
from tests.support.lab import ROOT, free_ports, wait_until
from tests.support.registry import registry, start_registry

NAME = "genailabs-molecule-containers"
STATE = FOLDER / "containers"
NAMES = ("mirror-one.test", "mirror-two.test")
CODERS = ("qwen2.5-coder:1.5b", "qwen2.5-coder:0.5b")
TAGS = ("tinyllama:1.1b", "qwen2.5:0.5b", "phi:latest", "smollm2:135m", *CODERS)
VOLUMES = ("/var/lib/docker", "/var/lib/containerd")  # an engine in the container needs file systems of its own


def publish(images: dict[str, str], port: int) -> dict[str, str]:
    """Push images under their published names; return their digests. The engine speaks plain HTTP to loopback alone."""
    digests = {}
    with registry(STATE, port) as address:
        for published, name in images.items():
            target = f"{address}/{published.partition('/')[2]}"
            docker("tag", name, target)
            docker("push", "-q", target)
            listed = json.loads(docker("image", "inspect", "-f", "{{json .RepoDigests}}", target))
            repository = target.rpartition(":")[0]
            [digests[published]] = [entry.partition("@")[2] for entry in listed if entry.startswith(f"{repository}@")]
            docker("image", "rm", target)
    return digests


def serve_mirror(address: str) -> None:
    """Serve releases and models until the process is ended; say where in a file."""
    (STATE / "mirror").mkdir()
    with Mirror(STATE / "mirror", address=address, names=NAMES) as mirror:
        for tag in TAGS:
            mirror.registry.add(tag)
        build(mirror.root, python="/usr/bin/python3")
        (STATE / "mirror.url").write_text(mirror.url)
        signal.pause()


def up() -> None:
    """Start everything; write where the outside world is, and the processes to end."""
    down()
    STATE.mkdir(parents=True)
    [port] = free_ports(1)
    gateway, database = publish(build_images(), port).values()
    machine = start_machine(NAME, NAMES, volumes=VOLUMES)
    module = [sys.executable, "-m", "tests.hosts.scenario", "mirror", machine.bridge]
    processes = [subprocess.Popen(module, cwd=ROOT, start_new_session=True)]
    processes.append(start_registry(STATE, port, machine.bridge, start_new_session=True))
    (STATE / "processes").write_text(" ".join(str(process.pid) for process in processes))
    wait_until((STATE / "mirror.url").exists, 60, "mirror")
    url = (STATE / "mirror.url").read_text()
    machine.write("/etc/docker/daemon.json", json.dumps({"insecure-registries": [f"{machine.bridge}:{port}"]}))
    outside = {"registry": f"{machine.bridge}:{port}", "mirror": url, "gateway": gateway, "database": database}
    (STATE / "outside.json").write_text(json.dumps(outside))


def down() -> None:
    """End and remove everything."""
    if (STATE / "processes").exists():
        for process in (STATE / "processes").read_text().split():
            subprocess.run(["kill", process], check=False)
    docker("rm", "-f", "-v", NAME, check=False)
    shutil.rmtree(STATE, ignore_errors=True)


if __name__ == "__main__":
    {"up": up, "down": down, "mirror": lambda: serve_mirror(sys.argv[2])}[sys.argv[1]]()
