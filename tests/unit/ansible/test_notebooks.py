"""The module `lab_notebooks` keeps what people changed, and writes as the account whose folder it is."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelspec import get_kernel_dict

from tests.support.folders import lab_folder
from tests.support.lab import ROOT
from tests.support.modules import run_module

NOBODY = 65534
SHIPPED = sorted((ROOT / "notebooks").glob("*.ipynb"))


def notebook(text: str) -> str:
    """A notebook as it is brought here."""
    told = {"language_info": {"name": "python", "version": platform.python_version()}}
    content = {"cells": [nbformat.v4.new_markdown_cell(text, id="a")], "metadata": told}
    return json.dumps({**content, "nbformat": 4, "nbformat_minor": 5}, indent=1, sort_keys=True) + "\n"


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path]]:
    """The project's notebooks and people's."""
    with lab_folder() as home:
        source, copies = home / "project", home / "people"
        (source / "images").mkdir(parents=True)
        copies.mkdir()
        for name in ("a.ipynb", "b.ipynb", "gone.ipynb", "images/a.png"):
            (source / name).write_text(notebook("first"))
        assert bring(source, copies)["changed"]
        yield source, copies


def arguments(source: Path, copies: Path) -> dict[str, str]:
    ledger = str(source.parent / "notebooks.json")
    return {"source": f"{source}/", "path": str(copies), "ledger": ledger, "python": sys.executable}


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
        (source / name).write_text(notebook("second"))
    (source / "gone.ipynb").unlink()
    before = contents(copies)
    assert bring(source, copies, check=True)["changed"]
    assert contents(copies) == before
    for changed in (True, False):
        result = bring(source, copies)
        assert (result["changed"], result["kept"]) == (changed, ["b.ipynb", "images/a.png", "own.ipynb"])
    assert contents(copies) == {"a.ipynb": notebook("second"), "b.ipynb": "mine", "own.ipynb": "mine"}


def test_a_copy_tells_the_python_that_runs_it(folders: tuple[Path, Path]) -> None:
    source, copies = folders
    old = notebook("of 3.9").replace(platform.python_version(), "3.9.0")
    (source / "a.ipynb").write_text(old)
    assert bring(source, copies)["brought"] == [str(copies / "a.ipynb")]
    assert (copies / "a.ipynb").read_text() == notebook("of 3.9")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_jupyterlab_finds_nothing_to_add_to_a_shipped_notebook(path: Path) -> None:
    """It marks a notebook as changed when the kernel that it starts tells more than the notebook does."""
    content = json.loads(path.read_text())
    kernel = get_kernel_dict()
    spec = {"name": "python3", "display_name": kernel["display_name"], "language": kernel["language"]}
    told = dict(IPythonKernel.language_info) | {"version": content["metadata"]["language_info"]["version"]}
    assert content["metadata"] == {"kernelspec": spec, "language_info": json.loads(json.dumps(told))}
    nbformat.validate(content)  # each cell has an id, and no other has the same


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
    (source / "new.ipynb").write_text(notebook("x"))
    failed = run_module("lab_notebooks", arguments(source, copies))
    assert f"Permission denied: '{copies}/images/.new.png.new'" in failed["msg"]
    assert not list(victim.iterdir())
    (copies / "images").unlink()
    assert bring(source, copies)["changed"]
    made = (copies / "new.ipynb").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)
