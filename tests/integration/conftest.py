"""The second lab, which tests may stop, change and remove."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import lab_variables
from tests.support.lab import Lab, playbook


@pytest.fixture(scope="package")
def other(lab_folder: Path) -> Iterator[tuple[Lab, dict[str, object]]]:
    """A lab beside the first, and the variables that make it."""
    variables = lab_variables(lab_folder / "other")
    run = playbook("site", variables)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    yield Lab(lab_folder / "other"), variables
    playbook("down", variables)
