"""The module `lab_image` and a real registry: digests given and recorded, and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.machine import docker, engine_answers
from tests.support.lab import free_ports
from tests.support.modules import run_module
from tests.support.registry import registry

pytestmark = pytest.mark.skipif(not engine_answers(), reason="needs a Docker engine")


@dataclass
class Source:
    """A registry, and the lab that takes an image from it."""

    folder: Path
    port: int
    name: str = field(default_factory=lambda: f"images/{uuid.uuid4().hex[:12]}")

    @property
    def repository(self) -> str:
        return f"127.0.0.1:{self.port}/{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:1.0"

    @property
    def ledger(self) -> dict[str, str]:
        path = self.folder / "images.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def publish(self, content: str) -> str:
        """Push an image with this content under the tag; give its digest."""
        archive = self.folder / "image.tar"
        with tarfile.open(archive, "w") as tar:
            info = tarfile.TarInfo("content")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
        docker("import", str(archive), self.reference)
        docker("push", "-q", self.reference)
        [listed] = json.loads(docker("image", "inspect", "-f", "{{json .RepoDigests}}", self.reference))
        self.forget()
        return str(listed).partition("@")[2]

    def forget(self) -> None:
        """Remove the images from the engine."""
        for image in set(docker("images", "-q", self.repository).split()):
            docker("image", "rm", "-f", image)

    def here(self) -> set[str]:
        """Digests of the images that the engine has."""
        return set(docker("images", "--digests", "--format", "{{.Digest}}", self.repository).split())

    def blob(self, digest: str) -> Path:
        """The registry's file of a manifest or layer."""
        hexadecimal = digest.removeprefix("sha256:")
        return self.folder / "registry/docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"

    def pull(self, digest: str = "", *, check: bool = False) -> dict[str, Any]:
        arguments = {"origin": "pull", "reference": self.reference, "digest": digest, "target": "database"}
        return run_module("lab_image", {**arguments, "ledger": str(self.folder / "images.json")}, check=check)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Path, int]]:
    with tempfile.TemporaryDirectory(prefix="images-") as folder:
        [port] = free_ports(1)
        with registry(Path(folder), port):
            yield Path(folder), port


@pytest.fixture
def source(served: tuple[Path, int]) -> Iterator[Source]:
    folder, port = served
    made = Source(folder, port)
    yield made
    made.forget()
    (folder / "images.json").unlink(missing_ok=True)


def test_check_mode_pulls_nothing(source: Source) -> None:
    source.publish("one")
    assert source.pull(check=True)["changed"]
    assert (source.here(), source.ledger) == (set(), {})


def test_a_first_pull_records_the_digest_that_it_runs_by(source: Source) -> None:
    digest = source.publish("one")
    first = source.pull()
    assert (first["changed"], first["image"]) == (True, f"{source.repository}@{digest}")
    assert source.ledger == {source.reference: digest}


def test_an_image_that_is_here_is_asked_of_nobody(tmp_path: Path) -> None:
    source = Source(tmp_path, free_ports(1)[0])
    with registry(tmp_path, source.port):
        source.publish("one")
        source.pull()
    again = source.pull()
    assert (again["code"], again["changed"]) == (0, False), again
    source.forget()
    assert "nothing that runs was touched" in source.pull()["msg"]


def test_a_tag_that_moved_does_not_move_the_lab(source: Source) -> None:
    recorded = source.publish("one")
    source.pull()
    source.publish("two")
    again = source.pull()
    assert (again["changed"], again["image"]) == (True, f"{source.repository}@{recorded}")
    assert source.here() == {recorded}


def test_a_given_digest_is_taken_and_comes_before_a_recorded_one(source: Source) -> None:
    source.publish("one")
    source.pull()
    given = source.publish("two")
    assert source.pull(given)["image"] == f"{source.repository}@{given}"
    assert not source.pull(given)["changed"]


def test_a_digest_that_the_registry_does_not_have_is_refused(source: Source) -> None:
    digest = source.publish("one")
    source.pull()
    wrong = f"sha256:{'0' * 64}"
    refused = source.pull(wrong)
    assert refused["code"] != 0
    assert f"{source.repository}@{wrong} (given) cannot be pulled; nothing that runs was touched." in refused["msg"]
    assert (source.here(), source.ledger) == ({digest}, {source.reference: digest})


@pytest.mark.parametrize("how", ["another image", "an altered layer"])
def test_something_else_under_the_recorded_digest_is_refused(source: Source, how: str) -> None:
    other = source.publish("another")
    digest = source.publish("one")
    source.pull()
    if how == "another image":
        source.blob(digest).write_bytes(source.blob(other).read_bytes())
    else:
        [layer] = json.loads(source.blob(digest).read_text())["layers"]
        source.blob(layer["digest"]).write_bytes(b"something else")
    source.forget()
    refused = source.pull()
    assert refused["code"] != 0, refused
    assert f"(from {source.folder}/images.json) cannot be pulled; nothing that runs was touched." in refused["msg"]
    assert "give its digest or remove the recorded one" in refused["msg"]
    assert (source.here(), source.ledger) == (set(), {source.reference: digest})
