"""The module `lab_notebooks` keeps what people changed, and writes as the account whose folder it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.folders import lab_folder
from tests.support.modules import run_module

NOBODY = 65534


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path]]:
    """The project's notebooks and people's."""
    with lab_folder() as home:
        source, copies = home / "project", home / "people"
        (source / "images").mkdir(parents=True)
        copies.mkdir()
        for name in ("a.ipynb", "b.ipynb", "gone.ipynb", "images/a.png"):
            (source / name).write_text("first")
        assert bring(source, copies)["changed"]
        yield source, copies


def arguments(source: Path, copies: Path) -> dict[str, str]:
    return {"source": f"{source}/", "path": str(copies), "ledger": str(source.parent / "notebooks.json")}


def bring(source: Path, copies: Path, check: bool = False) -> dict[str, Any]:
    result = run_module("lab_notebooks", arguments(source, copies), check=check)
    assert result["code"] == 0, result
    return result


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_newer_version_comes_and_changed_files_stay_and_are_named(folders: tuple[Path, Path]) -> None:
    source, copies = folders
    assert contents(copies) == contents(source)
    assert not bring(source, copies)["changed"]
    (copies / "b.ipynb").write_text("mine")
    (copies / "images/a.png").unlink()
    (copies / "own.ipynb").write_text("mine")
    assert bring(source, copies)["kept"] == [], "the project has nothing newer"
    for name in ("a.ipynb", "b.ipynb", "own.ipynb", "images/a.png"):
        (source / name).write_text("second")
    (source / "gone.ipynb").unlink()
    before = contents(copies)
    assert bring(source, copies, check=True)["changed"]
    assert contents(copies) == before
    for changed in (True, False):
        result = bring(source, copies)
        assert (result["changed"], result["kept"]) == (changed, ["b.ipynb", "images/a.png", "own.ipynb"])
    assert contents(copies) == {"a.ipynb": "second", "b.ipynb": "mine", "own.ipynb": "mine"}


def test_nothing_is_there_yet_in_check_mode(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    assert bring(tmp_path / "project", tmp_path / "people", check=True)["changed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have another account")
def test_a_planted_link_leads_only_where_its_account_may_go(folders: tuple[Path, Path]) -> None:
    source, copies = folders
    victim = source.parent / "victim"
    victim.mkdir()
    for path in (copies, *copies.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    (copies / "images").rename(copies / "mine")
    (copies / "images").symlink_to(victim)
    (source / "images/new.png").write_text("x")
    (source / "new.ipynb").write_text("x")
    failed = run_module("lab_notebooks", arguments(source, copies))
    assert f"Permission denied: '{copies}/images/.new.png.new'" in failed["msg"]
    assert not list(victim.iterdir())
    (copies / "images").unlink()
    assert bring(source, copies)["changed"]
    made = (copies / "new.ipynb").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)
