#!/usr/bin/python
"""Ansible module: the catalogue's models for the runtime."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_models
short_description: Have the catalogue's models, on an Ollama server or as files for llama.cpp
description:
  - A model that is there, with all its files, needs no network, unless I(update) asks its source for a newer one.
  - A download that stalls is cut and resumed. Changed means that a digest changed or a broken file was replaced.
  - The sizes of everything that is still needed are compared with the free space before the first byte.
  - A source that does not answer is no failure of the module; the model is returned with C(available=false)
    and the reason, so that a lab can stand up with the models it has.
  - On Ollama the first model that is there is loaded into memory at the end, so that the first question does not wait.
options:
  runtime: {description: What serves the models., type: str, choices: [ollama, llama_cpp], default: ollama}
  base_url: {description: The server's address. For Ollama., type: str}
  models:
    description: Entries of the catalogue, each with C(name) and its source for the runtime.
    type: list
    elements: dict
    required: true
  models_path:
    description: The models' folder. What is copied to that of an Ollama gets its owner.
    type: path
    required: true
  parts:
    description: "What the catalogue's C(llama_cpp.parts) are made of: C(package), C(sha256), C(bytes) of each."
    type: dict
    default: {}
  index_url: {description: The package index that has the parts., type: str, default: https://pypi.org/simple}
  files:
    description:
      - A folder with the same layout. Models that it holds are copied from there, and no registry is asked for them.
    type: path
  registry_url:
    description: Where models come from. Another than Ollama's own serves them as C(library/NAME:TAG); http is allowed.
    type: str
    default: https://registry.ollama.ai
  update: {description: Ask the source for a newer one although the model is there., type: bool, default: false}
  stall_timeout: {description: Seconds without a byte after which an attempt is given up., type: int, default: 60}
  retries: {description: Attempts after the first., type: int, default: 3}
  retry_pause: {description: "Seconds before the second attempt, then twice as many.", type: float, default: 2}
  progress_log: {description: File that gets lines of progress., type: path, required: true}
author: GenAI Labs
"""

RETURN = r"""
models:
  description:
    - For each of the catalogue's models its C(name), whether it is C(available) now, and the C(reason) why it is not to
      be had. In check mode a model that would be brought is neither available nor has it a reason.
  type: list
  returned: success
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_gguf import Files
from ansible.module_utils.lab_model_store import ModelError, SourceError, Store, blobs_of, full_disk
from ansible.module_utils.lab_ollama import (
    NO_SPACE,
    SILENT_WORK_S,
    Ollama,
    RefusedError,
    Registry,
    ServerError,
    digest_of,
)
from ansible.module_utils.lab_progress import MEGABYTE, Progress

MARGIN_BYTES = 500 * MEGABYTE


@dataclass
class Model:
    """A wanted model, and what was found out about it."""

    label: str  # its name in the catalogue
    name: str  # its name and tag on the server
    digest: str = ""  # that on the server, empty where it is not there
    whole: bool = False  # whether the server has all its files
    manifest: bytes = b""  # what is to be brought, empty for nothing
    bundled: bool = False  # whether that comes from files instead of a registry
    reason: str = ""  # why it is not to be had

    @property
    def damaged(self) -> bool:
        """Whether the server names it and lacks files of it."""
        return bool(self.digest) and not self.whole


class Catalogue:
    """All wanted models, on their way from their sources to the server."""

    def __init__(self, params: dict):
        self.params = params
        self.server = Ollama(params["base_url"])
        self.registry = Registry(params["registry_url"])
        self.store = Store(params["models_path"])
        self.bundle = Store(params["files"]) if params["files"] else None
        self.models = [Model(entry["name"], complete(entry["ollama"]["tag"])) for entry in params["models"]]
        self.changed = False

    def find_sources(self, have: dict[str, str]) -> None:
        """For each model that is not there as wanted, the manifest that its source has of it.

        Args:
            have: The digest of each model that the server has, by its name.

        Raises:
            ModelError: a source does not have a model, or has it incompletely; names every such model.
        """
        if self.bundle and not (self.bundle.folder / "manifests").is_dir():
            raise ModelError(
                f"{self.bundle.folder} has no folder `manifests`, so it is no models folder. Correct models_files."
            )
        for model in self.models:
            model.digest = have.get(model.name, "")
            model.whole = bool(model.digest) and self.store.is_whole(model.name)
        each((model for model in self.models if self.params["update"] or not model.whole), self.find_source)

    def find_source(self, model: Model) -> None:
        """Find a model's manifest; files come before the registry."""
        manifest = self.bundle.manifest(model.name) if self.bundle else None
        if manifest is None or self.bundle is None:
            manifest = self.registry.manifest(model.name)
        else:
            model.bundled = True
            path = self.bundle.manifest_path(model.name)
            try:
                wrong = self.bundle.lacking(self.store.lacking(blobs_of(manifest)))
            except ValueError as error:
                raise ModelError(f"{path} is {error}. Copy the bundle again from where it came.") from error
            if wrong:
                file = self.bundle.path(wrong[0])
                state = f"is not {wrong[0].size} bytes long" if file.exists() else "is missing"
                raise ModelError(
                    f"{file} {state}, which {path} names. Copy the bundle again from where it came, "
                    f"or remove that manifest to have the model from {self.registry.url}."
                )
        if not (model.whole and digest_of(manifest) == model.digest):
            model.manifest = manifest

    @property
    def wanting(self) -> list[Model]:
        """The models that are to be brought."""
        return [model for model in self.models if model.manifest]

    def check_space(self) -> None:
        """Compare all that is to be brought with the free space; Ollama would fill the disk and leave it full.

        Raises:
            ModelError: there is too little.
        """
        blobs = {blob for model in self.wanting for blob in self.store.lacking(blobs_of(model.manifest))}
        need = sum(blob.size for blob in blobs) + MARGIN_BYTES
        free = self.store.free()
        if blobs and need > free + self.store.occupied(blobs):
            labels = ", ".join(model.label for model in self.wanting)
            raise ModelError(
                f"{labels}: {need // MEGABYTE} MB are needed in {self.store.folder}, {free // MEGABYTE} MB are free. "
                "Make room there, or take a model out of lab_models."
            )

    def bring_all(self) -> None:
        """Bring every model, also after one failed.

        Raises:
            ModelError: some failed; names each.
        """
        each(self.wanting, self.bring)
        have = self.server.models()
        for model in self.wanting:
            before, model.digest = model.digest, have.get(model.name, "")
            if model.bundled and model.digest != digest_of(model.manifest):
                raise ModelError(
                    f"The model {model.label} was copied to {self.store.folder}, but {self.params['base_url']} does "
                    "not show it. Does that server use this folder?"
                )
            self.changed |= model.digest != before or not (model.whole or model.reason)
            model.whole = bool(model.digest) and (model.whole or not model.reason)

    def bring(self, model: Model) -> None:
        """Bring one model from its source.

        Raises:
            SourceError: the registry does not answer.
            ModelError: it is not to be had for another reason.
        """
        progress = Progress(self.params["progress_log"], model.name)
        self.store.remove(map(self.store.path, self.store.lacking(blobs_of(model.manifest))))
        if model.bundled and self.bundle:
            progress.say(f"copying from {self.bundle.folder}")
            self.store.take(model.name, self.bundle, progress)
        else:
            progress.say(f"pulling from {self.registry.url}")
            self.pull(model, progress)
        if model.damaged and self.server.is_loaded(model.name):  # its memory may hold what the damaged file said
            self.server.call("POST", "/api/generate", {"model": model.name, "keep_alive": 0, "stream": False})
        progress.say("there")

    def pull(self, model: Model, progress: Progress) -> None:
        """Pull one model and give it its short name; a pull that fails for good leaves nothing on the disk."""
        lacking = self.store.lacking(blobs_of(model.manifest))
        source = self.registry.pull_name(model.name)
        patience = (self.params[name] for name in ("stall_timeout", "retries", "retry_pause"))
        try:
            self.server.pull(source, self.registry.insecure, *patience, progress)
        except SourceError as error:
            raise SourceError(f"{self.registry.url}: {error}") from error
        except RefusedError as error:
            self.store.remove(self.store.remains(lacking))
            if NO_SPACE in str(error):
                raise ModelError(full_disk(self.store.folder)) from error
            raise
        if source != model.name:  # the files are shared, nothing is copied
            self.server.call("POST", "/api/copy", {"source": source, "destination": model.name})

    def tidy(self, dry: bool) -> None:
        """Remove the mirror's names beside the short ones."""
        mirrored = {self.registry.pull_name(model.name) for model in self.models if model.whole}
        for name in sorted(mirrored - {model.name for model in self.models} & self.server.models().keys()):
            self.changed = True
            if not dry:
                self.server.call("DELETE", "/api/delete", {"model": name})

    def warm_up(self) -> None:
        """Load the lab's default model, so that the first question does not wait for it.

        Raises:
            ModelError: it does not load.
        """
        first = next((model for model in self.models if model.whole), None)
        if first is None or self.server.is_loaded(first.name):
            return
        Progress(self.params["progress_log"], first.name).say("loading into memory")
        try:
            self.server.call("POST", "/api/generate", {"model": first.name, "stream": False}, SILENT_WORK_S)
        except (ModelError, ServerError) as error:
            body = json.dumps({"model": first.name})
            raise ModelError(
                f"The model {first.label} ({first.name}) is there, but does not load: {error}. See the service's log. "
                "If memory is short, put a smaller model first in lab_models; if its files may be damaged, remove it "
                f"and run again: curl -X DELETE {self.params['base_url']}/api/delete -d '{body}'"
            ) from error

    def result(self) -> dict:
        """What the module returns."""
        models = []
        for model in self.models:
            reason = "files of it are damaged or lost, and " * model.damaged + model.reason
            reason = "" if model.whole or not model.reason else reason
            models.append({"name": model.label, "available": model.whole, "reason": reason})
        return {"changed": self.changed, "models": models}


def each(models: Iterable[Model], action: Callable[[Model], None]) -> None:
    """Do something for each model, also after one failed; what its source says in its silence is kept.

    Raises:
        ModelError: some failed; names each.
    """
    errors = []
    for model in models:
        try:
            action(model)
        except SourceError as error:
            model.reason = str(error)
        except ModelError as error:
            errors.append(f"The model {model.label} ({model.name}): {error}")
    if errors:
        raise ModelError("\n".join(errors))


def complete(name: str) -> str:
    """A model's name with Ollama's default tag where it states none."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def check(catalogue: Catalogue) -> None:
    """Find what would be done; on a fresh host nothing serves yet."""
    try:
        catalogue.find_sources(catalogue.server.models())
        catalogue.tidy(dry=True)
    except ServerError:
        catalogue.find_sources({})
    catalogue.check_space()
    catalogue.changed |= bool(catalogue.wanting)


def run(catalogue: Catalogue) -> None:
    """Bring what is missing, load the default model."""
    catalogue.find_sources(catalogue.server.models())
    catalogue.check_space()
    if catalogue.wanting:
        catalogue.bring_all()
    catalogue.tidy(dry=False)
    catalogue.warm_up()


def files(params: dict, dry: bool) -> dict:
    """Have the models as files for llama.cpp, each also after one failed; return the module's result."""
    patience = (params[name] for name in ("stall_timeout", "retries", "retry_pause"))
    store = Files(params["models_path"], params["parts"], params["index_url"], *patience, params["progress_log"])
    models, changed, errors = [], False, []
    for entry in params["models"]:
        name, source = entry["name"], entry["llama_cpp"]
        found = {"name": name, "available": False, "reason": ""}
        try:
            brought = not store.is_there(name, source["sha256"]) if dry else store.bring(name, source)
            changed |= brought
            found["available"] = not (dry and brought)
        except SourceError as error:
            found["reason"] = str(error)
        except ModelError as error:
            errors.append(f"lab_models[{name}].llama_cpp={source}: {error}")
        models.append(found)
    if errors:
        raise ModelError("\n".join(errors))
    return {"changed": changed, "models": models}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "runtime": {"type": "str", "choices": ["ollama", "llama_cpp"], "default": "ollama"},
            "base_url": {"type": "str"},
            "parts": {"type": "dict", "default": {}},
            "index_url": {"type": "str", "default": "https://pypi.org/simple"},
            "models": {"type": "list", "elements": "dict", "required": True},
            "models_path": {"type": "path", "required": True},
            "files": {"type": "path"},
            "registry_url": {"type": "str", "default": "https://registry.ollama.ai"},
            "update": {"type": "bool", "default": False},
            "stall_timeout": {"type": "int", "default": 60},
            "retries": {"type": "int", "default": 3},
            "retry_pause": {"type": "float", "default": 2},
            "progress_log": {"type": "path", "required": True},
        },
        required_if=[["runtime", "ollama", ["base_url"]]],
        supports_check_mode=True,
    )
    os.umask(0o022)
    if module.params["runtime"] == "llama_cpp":
        try:
            module.exit_json(**files(module.params, module.check_mode))
        except (ModelError, OSError) as error:
            module.fail_json(msg=f"{error}")
    catalogue = Catalogue(module.params)
    try:
        (check if module.check_mode else run)(catalogue)
    except ModelError as error:
        module.fail_json(msg=str(error))
    except ServerError as error:
        module.fail_json(
            msg=f"Ollama at {module.params['base_url']} does not answer: {error}. "
            "See the service's log, then run again."
        )
    except OSError as error:
        module.fail_json(msg=f"The models' files: {error}. Correct that, then run again.")
    module.exit_json(**catalogue.result())


if __name__ == "__main__":
    main()
