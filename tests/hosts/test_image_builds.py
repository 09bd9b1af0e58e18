"""The module `lab_image` where it builds: nothing twice, and no other lab's images are removed."""

from __future__ import annotations

import os
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.machine import docker, engine_answers
from tests.support.lab import ROOT
from tests.support.modules import run_module

pytestmark = pytest.mark.skipif(not engine_answers(), reason="needs a Docker engine")
TARGET = f"test-{uuid.uuid4().hex[:8]}"
BASE = f"genailabs-test/{TARGET}"
RECIPE = f"ARG BASE\nFROM ${{BASE}} AS {TARGET}\nCOPY content /content\n"


@dataclass
class Builder:
    """A checkout with a recipe, and the labs that build from it."""

    folder: Path

    def write(self, content: str) -> None:
        (self.folder / "Dockerfile").write_text(RECIPE)
        (self.folder / "content").write_text(content)

    def build(self, lab: str = "lab", recipe: str = "", **others: str) -> dict[str, Any]:
        if recipe:
            (self.folder / "Dockerfile").write_text(recipe)
        arguments = {"origin": "build", "reference": "unused:1", "target": TARGET, "base": BASE}
        places = {"context": self.folder, "workspace": self.folder, "ledger": self.folder / f"{lab}.json"}
        inputs = {"inputs": ["Dockerfile", "content"]}
        arguments |= {name: str(path) for name, path in places.items()}
        return run_module("lab_image", {**arguments, **inputs, **others})

    def images(self) -> set[str]:
        return set(docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"genailabs/{TARGET}").split())


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[None]:
    """The smallest base there can be."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file, tarfile.open(file.name, "w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
        tar.close()
        docker("import", file.name, BASE)
    yield
    docker("image", "rm", BASE)


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    made = Builder(tmp_path)
    made.write("one")
    yield made
    for image in made.images():
        docker("image", "rm", image)


def test_an_image_is_built_once_for_the_same_files(builder: Builder) -> None:
    first = builder.build()
    assert first["changed"], first
    again = builder.build()
    assert (again["changed"], again["image"]) == (False, first["image"])
    builder.write("two")
    assert builder.build()["image"] not in ("", first["image"])


def test_of_a_labs_earlier_images_the_newest_is_kept_and_other_labs_keep_theirs(builder: Builder) -> None:
    theirs = builder.build("other")["image"]
    mine = []
    for content in ("two", "three", "four"):
        builder.write(content)
        mine.append(builder.build()["image"])
    assert builder.images() == {theirs, *mine[1:]}


def test_a_build_that_fails_names_what_failed_and_leaves_nothing(builder: Builder) -> None:
    failed = builder.build(recipe=RECIPE.replace("COPY content", "COPY nothing-of-that-name"))
    assert failed["code"] != 0
    assert "could not be built; nothing that runs was touched" in failed["msg"]
    assert "nothing-of-that-name" in failed["msg"]
    assert builder.images() == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="the base is root's to make")
@pytest.mark.parametrize(("failures", "downloads", "complete"), [(0, 1, True), (2, 3, True), (9, 3, False)])
def test_a_package_that_does_not_come_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, downloads: int, complete: bool
) -> None:
    monkeypatch.setenv("PATH", f"{ROOT / 'tests/doubles/debootstrap'}:{os.environ['PATH']}")
    mirror = tmp_path / "mirror"
    mirror.write_text(f"{failures}\n")
    builder = Builder(tmp_path)
    builder.write("one")
    made = builder.build(base=f"{BASE}-{failures}", mirror=str(mirror))
    try:
        assert mirror.read_text().split()[1:].count("libmount1") == downloads
        assert mirror.read_text().split()[1:].count("zlib1g") == 1, "what came is kept"
        assert ("Couldn't download packages: libmount1" in made.get("msg", "")) is not complete
        assert bool(docker("images", "-q", f"{BASE}-{failures}")) is complete
    finally:
        for image in (*builder.images(), *([f"{BASE}-{failures}"] if complete else [])):
            docker("image", "rm", image)
