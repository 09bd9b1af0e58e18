"""Molecule's scenarios, step by step: `molecule test` does the same by hand."""

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
# The other roles' scenarios try parts of the first one, or of the embedded labs that other tests make.
SCENARIOS = ("containers", "role-llama_cpp")
STEPS = ("create", "check", "converge", "idempotence", "verify")
BIN = Path(sys.executable).parent


class Scenario:
    """One scenario on its way through the steps."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failed = ""

    def run(self, step: str) -> None:
        """Take a step; none is taken after one that failed."""
        assert not self.failed, f"the step before it, {self.failed}, failed"
        done = subprocess.run(
            [BIN / "molecule", step, "-s", self.name],
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
            pytest.fail(f"molecule {step} -s {self.name} failed, see what it printed", pytrace=False)


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    made = Scenario(request.param)
    made.run("destroy")
    yield made
    made.failed = ""
    made.run("destroy")


@pytest.mark.parametrize("step", STEPS)
def test_scenario(scenario: Scenario, step: str) -> None:
    scenario.run(step)
