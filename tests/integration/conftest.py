"""A roll-up whose log tests write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import usage_truth
from tests.support.usage_database import make_database
from tests.support.usage_rollup import RolledUp


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
