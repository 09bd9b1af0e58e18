"""Molecule's scenario, step by step: `molecule test` does the same by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.machine import engine_answers
from tests.support.lab import ROOT

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not engine_answers(), reason="needs root, a Docker engine and debootstrap"
)
NAME = "containers"  # a whole lab of that profile
# Check mode on a host without a lab: test_runtime_unit.py, and for containers test_containers.py.
STEPS = ("create", "converge", "idempotence", "verify")
BIN = Path(sys.executable).parent


class Scenario:
    """The scenario on its way through the steps."""

    def __init__(self) -> None:
        self.failed = ""

    def run(self, step: str) -> None:
        """Take a step; none is taken after one that failed."""
        assert not self.failed, f"the step before it, {self.failed}, failed"
        done = subprocess.run(
            [BIN / "molecule", step, "-s", NAME],
            cwd=ROOT / "ansible",
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout)
        if done.returncode != 0:
            self.failed = step
            pytest.fail(f"molecule {step} -s {NAME} failed, see what it printed", pytrace=False)


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    made = Scenario()
    made.run("destroy")
    yield made
    made.failed = ""
    made.run("destroy")


@pytest.mark.parametrize("step", STEPS)
def test_scenario(scenario: Scenario, step: str) -> None:
    scenario.run(step)
