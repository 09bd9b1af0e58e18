"""The front end's own tests, and the files that are built from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import frontend
from widgets.panels.assets import STATIC


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    frontend.install()


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    run = frontend.npm("run", "build", "--", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    built = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert sorted(built) == sorted(file.name for file in STATIC.iterdir())
    different = [name for name in built if built[name] != (STATIC / name).read_bytes()]
    assert not different, f"{different} are not what the sources give: run `make frontend`"


def test_nothing_of_the_bundle_is_loaded_from_elsewhere() -> None:
    loads = re.compile(r"""(?<![.\w])(fetch\((?!\))|XMLHttpRequest|WebSocket|import\(["'`]|@import|url\(["']?http)""")
    for file in STATIC.iterdir():
        assert not loads.findall(file.read_text(encoding="utf-8")), file.name


def test_the_front_ends_own_tests_pass() -> None:
    run = frontend.npm("test", timeout=900)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
