#!/usr/bin/python
"""Ansible module: one model of an Ollama server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
short_description: Have a model on an Ollama server
description:
  - A model that is there, with all its files, needs no network, unless I(update) asks the registry for a newer one.
  - A download that stalls is cut and resumed. Changed means that the model's digest changed.
  - A source that does not answer is no failure of the module; it returns C(available=false)
    and the reason, so that a lab can stand up with the models it has.
options:
  base_url:
    description: The server's address.
    type: str
    required: true
  name:
    description: The model's name and tag.
    type: str
    required: true
  registry_url:
    description: Where it comes from. Another than Ollama's own serves it as C(library/NAME:TAG); http is allowed.
    type: str
    default: https://registry.ollama.ai
  models_path:
    description:
      - The server's models folder.
      - Given, files that were cut or lost are found and brought again, and free space is compared with the size first.
    type: path
  update:
    description: Ask the registry for a newer one although the model is there.
    type: bool
    default: false
  stall_timeout:
    description: Seconds without a further byte after which an attempt is given up.
    type: int
    default: 60
  retries:
    description: Attempts after the first.
    type: int
    default: 3
  progress_log:
    description: File that gets lines of progress.
    type: path
author: GenAI Labs
"""

RETURN = r"""
available:
  description: Whether the server has the model now.
  type: bool
  returned: always
reason:
  description: Why it is not available.
  type: str
  returned: always
digest:
  description: Digest of its manifest.
  type: str
  returned: always
"""

import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_ollama import ModelError, Ollama, Registry, SourceError
from ansible.module_utils.lab_progress import MEGABYTE, Progress

MARGIN_BYTES = 500 * MEGABYTE


class Model:
    """The wanted model, on the server and in the registry."""

    def __init__(self, params: dict):
        self.params = params
        self.name = params["name"] if ":" in params["name"].rpartition("/")[2] else f"{params['name']}:latest"
        self.server = Ollama(params["base_url"])
        self.registry = Registry(params["registry_url"], self.name)
        self.progress = Progress(params["progress_log"], self.name)
        self.blobs = Path(params["models_path"]) / "blobs" if params["models_path"] else None

    def broken(self, layers: list[dict]) -> list[Path]:
        """Files of the model that are there but not whole: Ollama itself would never replace them."""
        paths = {self.path_of(layer): layer["size"] for layer in layers} if self.blobs else {}
        return [path for path, size in paths.items() if path.exists() and path.stat().st_size != size]

    def missing(self, layers: list[dict]) -> list[dict]:
        """The model's files that are not there."""
        return [layer for layer in layers if not self.path_of(layer).exists()] if self.blobs else []

    def path_of(self, layer: dict) -> Path:
        """Where a file of the model lies."""
        return (self.blobs or Path()) / layer["digest"].replace(":", "-")

    def is_whole(self) -> bool:
        """Whether all files are there in full; what cannot be looked at counts as whole."""
        layers = self.local_layers()
        return not self.broken(layers) and not self.missing(layers)

    def local_layers(self) -> list[dict]:
        """The files that the manifest on disk names."""
        if not self.blobs:
            return []
        name, _, tag = self.name.partition(":")
        path = (
            self.blobs.parent / "manifests" / "registry.ollama.ai" / (name if "/" in name else f"library/{name}") / tag
        )
        return Registry.layers(path.read_bytes()) if path.is_file() else []

    def check_space(self, layers: list[dict]) -> None:
        """Compare what is missing with the free space; Ollama would fill the disk and leave it full.

        Raises:
            ModelError: there is too little.
        """
        if not self.blobs or not self.blobs.exists():
            return
        need = sum(layer["size"] for layer in self.missing(layers)) + MARGIN_BYTES
        free = shutil.disk_usage(self.blobs).free
        if layers and need > free + self.partial_bytes(layers):
            raise ModelError(
                f"needs {need // MEGABYTE} MB in {self.blobs.parent}, {free // MEGABYTE} MB are free. "
                "Make room there, or take the model out of lab_models."
            )

    def partials(self, layers: list[dict]) -> list[Path]:
        """What unfinished downloads of the model left."""
        return [
            path for layer in layers for path in self.path_of(layer).parent.glob(f"{self.path_of(layer).name}-partial*")
        ]

    def partial_bytes(self, layers: list[dict]) -> int:
        """Bytes on the disk of unfinished downloads, which are part of what is needed."""
        return sum(path.stat().st_blocks * 512 for path in self.partials(layers))

    def bring(self) -> None:
        """Pull the model and give it its short name.

        Raises:
            SourceError: the registry does not answer.
            ModelError: it is not to be had for another reason.
        """
        layers = Registry.layers(self.registry.manifest())
        self.check_space(layers)
        for path in self.broken(layers):
            path.unlink()
        source = self.registry.pull_name
        self.progress.say(f"pulling from {self.registry.url}")
        try:
            self.server.pull(
                source, self.registry.insecure, self.params["stall_timeout"], self.params["retries"], self.progress
            )
        except ModelError as error:
            if "no space left" not in str(error):
                raise
            for path in self.partials(layers):
                path.unlink()
            raise ModelError(
                f"the disk of {self.params['models_path'] or 'the models'} is full; "
                "what was downloaded of it was removed. Make room there."
            ) from error
        if source != self.name:
            self.server.rename(source, self.name)
        self.progress.say("there")


def result_of(module: AnsibleModule) -> dict:
    """Bring the model where needed and say what happened."""
    model = Model(module.params)
    before = model.server.digest(model.name)
    whole = before is not None and model.is_whole()
    have = {"available": whole, "digest": before or "", "reason": "" if whole else "not on the server"}
    try:
        if whole and not (module.params["update"] and model.registry.digest() != before):
            return {"changed": False, **have}
        if module.check_mode:
            return {"changed": True, **have}
        model.bring()
    except SourceError as error:
        return {"changed": False, **have, "reason": str(error)}
    after = model.server.digest(model.name)
    return {
        "changed": after != before or not whole,
        "available": after is not None,
        "digest": after or "",
        "reason": "",
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "base_url": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "registry_url": {"type": "str", "default": "https://registry.ollama.ai"},
            "models_path": {"type": "path"},
            "update": {"type": "bool", "default": False},
            "stall_timeout": {"type": "int", "default": 60},
            "retries": {"type": "int", "default": 3},
            "progress_log": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**result_of(module))
    except ModelError as error:
        module.fail_json(msg=f"The model {module.params['name']}: {error}")
    except OSError as error:
        if module.check_mode:  # on a fresh host nothing serves yet
            module.exit_json(changed=True, available=False, digest="", reason="not on the server")
        module.fail_json(
            msg=f"Ollama at {module.params['base_url']} does not answer: {error}. "
            "See the service's log, then run again."
        )


if __name__ == "__main__":
    main()
