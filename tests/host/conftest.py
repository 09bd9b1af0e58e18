"""One host for all tests of this folder, and the mirror that it reaches."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.build_ollama_archive import build
from tests.doubles.mirror import Mirror
from tests.host.machine import Machine, engine_answers, start_machine
from tests.support.folders import lab_folder
from tests.support.lab import ROOT

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
    with lab_folder() as root:
        machine = start_machine(root.name, NAMES)
        try:
            mirrored = root / "mirror"
            mirrored.mkdir()
            with Mirror(mirrored, address=machine.bridge, names=NAMES) as mirror:
                mirror.registry.add("smollm2:135m")
                variables = {
                    "lab_manager": "systemd",
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
