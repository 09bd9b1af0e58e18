#!/usr/bin/python
"""Ansible module: one image of the hub, pulled or built."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
short_description: Have an image, by digest from a registry or built from packages
description:
  - A pulled image is used by its digest. One that is not given is recorded at the first pull and holds for every
    later run (trust on first use); a registry that answers something else is refused.
  - A built image is named after the digest of what it is made from, so that nothing is built twice.
  - Nothing that runs is touched.
options:
  origin:
    description: Where it comes from.
    type: str
    choices: [pull, build]
    required: true
  reference:
    description: The registry's name of it, with a tag.
    type: str
    required: true
  digest:
    description: Its digest in the registry, C(sha256:…).
    type: str
    default: ''
  ledger:
    description: File that keeps the digests of first pulls, and the names of the images that this lab built.
    type: path
    required: true
  target:
    description: The Dockerfile's target, and the built image's name.
    type: str
    required: true
  context:
    description: Folder with the files that go into a built image.
    type: path
  inputs:
    description: Those files, relative to the folder; the first is the Dockerfile.
    type: list
    elements: str
    default: []
  base:
    description: The built image's base; made with debootstrap where it is missing.
    type: str
    default: ''
  mirror:
    description: Debian's mirror for the base.
    type: str
    default: http://deb.debian.org/debian
  workspace:
    description: Folder for the base's files.
    type: path
  ca_file:
    description: Certificate authorities that the build trusts; they do not get into the image.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
author: GenAI Labs
"""

RETURN = r"""
image:
  description: The name to run it by.
  type: str
  returned: always
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils import lab_docker
from ansible.module_utils.lab_versioned import digest_of, ignored

SUITE = "bookworm"
# debootstrap asks for each of its hundred packages once, and says this of those that did not come.
INCOMPLETE = "Couldn't download packages"
DOWNLOADS = 3
# What a container never reads; two thirds of the base.
LEFT_OUT = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"),
    *("var/lib/apt/lists", "var/cache/apt"),
)
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "npm_config_registry", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class ImageError(Exception):
    """The image cannot be had; the text says why and what helps."""


class Image:
    """The wanted image and the engine that has it or not."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.params = module.params
        self.engine = lab_docker.find()
        self.changed = False

    def docker(self, *arguments: str) -> tuple[int, str, str]:
        return self.module.run_command([self.engine.cli, *arguments])

    def is_there(self, name: str) -> bool:
        return bool(self.engine.version) and self.docker("image", "inspect", name)[0] == 0

    def ledger(self) -> dict:
        path = Path(self.params["ledger"])
        return json.loads(path.read_text()) if path.exists() else {}

    def record(self, entry: str, value: str | list[str]) -> None:
        """Keep the digest of a first pull, or the names of built images."""
        known = {**self.ledger(), entry: value}
        temporary = os.path.join(self.module.tmpdir, "images.json")
        Path(temporary).write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        self.module.atomic_move(temporary, self.params["ledger"])

    def pulled(self) -> str:
        """Have the registry's image; return its name by digest.

        Raises:
            ImageError: the registry does not answer, or has another one under that digest.
        """
        reference = self.params["reference"]
        repository = reference.rpartition(":")[0] if ":" in reference.rpartition("/")[2] else reference
        recorded = self.ledger().get(reference, "")
        digest = self.params["digest"] or recorded
        name = f"{repository}@{digest}" if digest else reference
        if digest and self.is_there(name):
            return name
        self.changed = True
        if self.module.check_mode:
            return name
        code, _, words = self.docker("pull", "--quiet", name)
        if code != 0:
            origin = "" if not digest else " (given)" if self.params["digest"] else f" (from {self.params['ledger']})"
            raise ImageError(
                f"{name}{origin} cannot be pulled; nothing that runs was touched. {words.strip()}\n"
                "Check the registry and the digest. If the registry's new image is the one you want, give its digest "
                "or remove the recorded one."
            )
        if not digest:
            _, listed, _ = self.docker("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
            digest = next(entry.partition("@")[2] for entry in json.loads(listed) if entry.startswith(f"{repository}@"))
            self.record(reference, digest)
        return f"{repository}@{digest}"

    def built(self) -> str:
        """Have the image built from packages; return its name.

        Raises:
            ImageError: it cannot be built.
        """
        params = self.params
        context = Path(params["context"])
        files = sorted(file for name in params["inputs"] for file in files_of(context / name))
        parts = [part for file in files for part in (str(file.relative_to(context)), file.read_bytes())]
        name = f"genailabs/{params['target']}:{digest_of(params['base'], *parts)}"
        if self.is_there(name):
            return name
        self.changed = True
        if self.module.check_mode:
            return name
        if not self.engine.builder:
            raise ImageError("This Docker cannot build with BuildKit. Install its buildx plugin (docker-buildx).")
        if not self.is_there(params["base"]):
            self.make_base()
        command = [self.engine.builder, "build", "--progress=plain", "--target", params["target"], "--tag", name]
        command += ["--file", str(context / params["inputs"][0]), "--build-arg", f"BASE={params['base']}"]
        for variable in filter(os.environ.get, INDEX_VARIABLES):
            command += ["--build-arg", variable]
        if os.path.exists(params["ca_file"]):
            command += ["--secret", f"id=ca,src={params['ca_file']}"]
        code, _, words = self.module.run_command([*command, str(context)], environ_update={"DOCKER_BUILDKIT": "1"})
        if code != 0:
            raise ImageError(
                f"The image {name} could not be built; nothing that runs was touched. "
                f"It needs Debian's and Python's packages: see what failed.\n{words.strip()[-3000:]}"
            )
        self.remove_older(name)
        return name

    def make_base(self) -> None:
        """Make a small Debian with debootstrap and give it to the engine.

        Raises:
            ImageError: debootstrap is missing or fails.
        """
        program = self.engine.debootstrap
        if not program or os.geteuid() != 0:
            raise ImageError(
                "Building the hub's images needs root and debootstrap here. Run as root, or name a registry that "
                "answers: -e hub_images=pull."
            )
        with tempfile.TemporaryDirectory(dir=self.params["workspace"]) as folder:
            cache, root = Path(folder, "cache"), Path(folder, "root")
            cache.mkdir()
            options = ["--variant=minbase", f"--cache-dir={cache}"]
            for _ in range(DOWNLOADS):
                code, words, _ = self.module.run_command([program, *options, SUITE, str(root), self.params["mirror"]])
                if code == 0 or INCOMPLETE not in words:
                    break
                shutil.rmtree(root)  # it starts from nothing; the packages that came are in the cache
            if code != 0:
                raise ImageError(f"debootstrap from {self.params['mirror']} failed:\n{words.strip()[-1500:]}")
            excluded = [f"--exclude=./{path}/*" for path in LEFT_OUT]
            packing = subprocess.Popen(["tar", "-C", str(root), *excluded, "-c", "."], stdout=subprocess.PIPE)
            given = subprocess.run(
                [self.engine.cli, "import", "-", self.params["base"]],
                stdin=packing.stdout,
                capture_output=True,
                text=True,
                check=False,
            )
            if packing.wait() != 0 or given.returncode != 0:
                raise ImageError(f"The base image could not be made: {given.stderr.strip()}")

    def remove_older(self, name: str) -> None:
        """Remove what this lab built before, but for the newest; the engine keeps what is in use.

        Other labs' images of the same target may be wanted while nothing runs on them.
        """
        entry = f"built/{self.params['target']}"
        earlier = [known for known in self.ledger().get(entry, []) if known != name]
        for old in earlier[:-1]:
            self.docker("image", "rm", old)
        self.record(entry, [*earlier[-1:], name])


def files_of(path: Path) -> list[Path]:
    """A file itself, or a folder's files."""
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and not ignored(file.relative_to(path))]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "origin": {"type": "str", "choices": ["pull", "build"], "required": True},
            "reference": {"type": "str", "required": True},
            "digest": {"type": "str", "default": ""},
            "ledger": {"type": "path", "required": True},
            "target": {"type": "str", "required": True},
            "context": {"type": "path"},
            "inputs": {"type": "list", "elements": "str", "default": []},
            "base": {"type": "str", "default": ""},
            "mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
            "workspace": {"type": "path"},
            "ca_file": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
        },
        required_if=[("origin", "build", ("context", "inputs", "base", "workspace"))],
        supports_check_mode=True,
    )
    image = Image(module)
    try:
        name = image.pulled() if module.params["origin"] == "pull" else image.built()
    except ImageError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=image.changed, image=name)


if __name__ == "__main__":
    main()
