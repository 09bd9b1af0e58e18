"""The front end's own tests, and the files that are built from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import frontend
from widgets import assets

STATIC = Path(assets.__file__).parent / "static"


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    frontend.install()


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    run = frontend.npm("run", "build", "--", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    built = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    kept = {file.name: file.read_bytes() for file in STATIC.iterdir()}
    assert sorted(built) == sorted(kept), "`make frontend` writes other files than are kept"
    different = [name for name in built if built[name] != kept[name]]
    assert not different, f"{different} are not what the sources give: run `make frontend`"


def test_nothing_of_the_bundle_is_loaded_from_elsewhere() -> None:
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        for loads in (
            'import("http',
            "import'http",
            'from"http',
            "@import",
            "url(http",
            "fetch(",
            "XMLHttpRequest",
            "WebSocket",
        ):
            assert loads not in text, f"{file.name} has {loads}"


def test_the_front_ends_own_tests_pass() -> None:
    run = frontend.npm("test")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
