"""The role `images`: what it builds and pulls, and what it says when it cannot."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosts.machine import docker, engine_answers
from tests.support.lab import ROOT, changes, free_ports
from tests.support.registry import registry

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not engine_answers(), reason="needs root, a Docker engine and debootstrap"
)
ONE_IMAGE = "{{ {'pull': images_pulled, 'build': images_built}[preflight_images].gateway }}"
RECIPE = "ARG BASE\nFROM ${BASE} AS gateway\nCOPY litellm_hub/content /content\n"


@dataclass
class Role:
    """The role on this machine, with one image whose recipe is two lines."""

    folder: Path
    base: str

    def write(self, content: str, recipe: str = RECIPE) -> None:
        hub = self.folder / "source/litellm_hub"
        hub.mkdir(parents=True, exist_ok=True)
        (hub / "deploy").mkdir(exist_ok=True)
        (hub / "deploy/Dockerfile").write_text(recipe)
        (hub / "content").write_text(content)

    def run(self, *, expect: int = 0, path: str = "", **variables: object) -> subprocess.CompletedProcess[str]:
        settings: dict[str, object] = {
            "lab_home": str(self.folder),
            "lab_source": str(self.folder / "source"),
            "images_inputs": {"gateway": ["litellm_hub/deploy/Dockerfile", "litellm_hub/content"], "database": []},
            "images_names": {"gateway": ONE_IMAGE},
            "images_base": self.base,
            "hub_gateway_image": "unused:1",
            "hub_gateway_digest": "",
            "hub_database_image": "unused:2",
            "hub_database_digest": "",
        }
        command = [Path(sys.executable).with_name("ansible-playbook"), ROOT / "tests/hosts/images.yml"]
        done = subprocess.run(
            [*command, "-e", json.dumps(settings | variables)],
            cwd=ROOT / "ansible",
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == (expect != 0), done.stdout + done.stderr
        return done

    def name(self) -> str:
        """The image of the last run that passed."""
        return str(json.loads((self.folder / "built.json").read_text())["unused:1"])


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Role]:
    """The smallest base there can be; what was built goes at the end."""
    base = f"genailabs-test/{uuid.uuid4().hex[:8]}"
    made = Role(tmp_path, base)
    made.write("one")
    with tarfile.open(tmp_path / "base.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    docker("import", str(tmp_path / "base.tar"), base)
    yield made
    mine = docker("images", "-q", "--filter", f"reference={base}*").split()
    built = docker("images", "-q", "--filter", f"label=org.genailabs.lab=genailabs-{base[-8:]}").split()
    if found := {*mine, *built}:
        docker("image", "rm", "-f", *found)


def test_an_image_is_built_once_for_the_same_files(role: Role) -> None:
    lab = {"lab_name": f"genailabs-{role.base[-8:]}"}
    role.run(**lab)
    first = role.name()
    assert changes(role.run(**lab)) == 0
    role.write("two")
    role.run(**lab)
    assert role.name() != first


def test_a_build_that_fails_names_what_failed(role: Role) -> None:
    role.write("one", RECIPE.replace("litellm_hub/content", "nothing-of-that-name"))
    words = role.run(expect=2).stdout
    assert "could not be had; nothing that runs was touched" in words
    assert "nothing-of-that-name" in words


def test_a_package_that_does_not_come_is_asked_for_again(role: Role) -> None:
    mirror = role.folder / "mirror"
    mirror.write_text("2\n")  # failures
    program = ROOT / "tests/doubles/debootstrap/debootstrap"
    found = {"cli": "docker", "debootstrap": str(program), "version": "1", "compose": "1", "buildx": "1"}
    role.run(
        images_base=f"{role.base}-fresh",
        images_debian_mirror=str(mirror),
        preflight_docker=found,
        lab_name=f"genailabs-{role.base[-8:]}",
    )
    asked = mirror.read_text().split()[1:]
    assert (asked.count("libmount1"), asked.count("zlib1g")) == (3, 1), "what came is kept"
    assert docker("images", "-q", f"{role.base}-fresh")


def test_a_digest_is_demanded_of_the_registry_and_an_image_that_is_here_of_nobody(role: Role) -> None:
    [port] = free_ports(1)
    reference = f"127.0.0.1:{port}/{role.base}:1.0"
    pulled = {"preflight_images": "pull", "hub_gateway_image": reference}
    with registry(role.folder, port):
        digests = [publish(role.folder, reference, content) for content in ("one", "two")]
        wrong = f"sha256:{'0' * 64}"
        words = role.run(**pulled, hub_gateway_digest=wrong, expect=2).stdout
        assert f"{reference.removesuffix(':1.0')}@{wrong} could not be had; nothing that runs was touched" in words
        role.run(**pulled, hub_gateway_digest=digests[0])
        assert digests[0] in docker("images", "--digests", "--format", "{{.Digest}}", reference.rpartition(":")[0])
    role.run(**pulled, hub_gateway_digest=digests[0])
    docker("image", "rm", "-f", *set(docker("images", "-q", reference.rpartition(":")[0]).split()))


def publish(folder: Path, reference: str, content: str) -> str:
    """Push an image with this content under the tag and forget it; give its digest."""
    archive = folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("content")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content.encode()))
    docker("import", str(archive), reference)
    docker("push", "-q", reference)
    [listed] = json.loads(docker("image", "inspect", "-f", "{{json .RepoDigests}}", reference))
    docker("image", "rm", "-f", docker("images", "-q", reference).strip())
    return str(listed).partition("@")[2]
