"""A second lab, which tests may stop, change and remove, and a roll-up whose log they write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lab_variables
from tests.support import folders, usage_truth
from tests.support.lab import Lab, playbook
from tests.support.usage_database import make_database
from tests.support.usage_rollup import RolledUp


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the services' accounts can enter."""
    with folders.lab_folder() as made:
        yield made


@pytest.fixture(scope="package")
def other(lab_folder: Path) -> Iterator[tuple[Lab, dict[str, object]]]:
    """A lab beside the first, and the variables that make it."""
    variables = lab_variables(lab_folder / "other")
    run = playbook("site", variables)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    yield Lab(lab_folder / "other"), variables
    if (lab_folder / "other").exists():
        playbook("clean", variables | {"clean_confirmation": "yes"})


@pytest.fixture(scope="session")
def rolled_up(scratch_postgres: Any, gateway_env: Any) -> Iterator[RolledUp]:
    """A database with a roll-up; a test that takes it empties it first."""
    hub = RolledUp(make_database(scratch_postgres, gateway_env, "usage_rollup"))
    with hub.owner.begin() as connection:
        usage_truth.write(connection, [])
    yield hub
    hub.owner.dispose()
    hub.reader.dispose()


@pytest.fixture
def empty(rolled_up: RolledUp) -> RolledUp:
    """The same with nothing in its log."""
    rolled_up.empty()
    return rolled_up
