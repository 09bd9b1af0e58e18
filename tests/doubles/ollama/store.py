"""Models on disk: manifests and blobs in Ollama's own layout."""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import gguf
from .names import DEFAULT_TAG, ModelName

MODEL = "application/vnd.ollama.image.model"
TEMPLATE = "application/vnd.ollama.image.template"
PARAMS = "application/vnd.ollama.image.params"


class UnknownModelError(Exception):
    """No manifest of that name is there."""


class MissingBlobError(Exception):
    """A manifest is there, one of its blobs is not."""


@dataclass(frozen=True)
class Model:
    """A model whose manifest is on disk."""

    name: ModelName
    manifest: dict[str, Any]
    digest: str
    modified: datetime.datetime

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Every blob that the manifest names, the configuration last."""
        config = self.manifest.get("config")
        return [*self.manifest.get("layers", []), *([config] if config else [])]

    @property
    def size(self) -> int:
        """Bytes of all blobs, as the manifest says."""
        return sum(int(layer["size"]) for layer in self.layers)

    def layer(self, media_type: str) -> dict[str, Any] | None:
        """The first layer of that kind."""
        return next((layer for layer in self.layers if layer["mediaType"] == media_type), None)


class Store:
    """The folder that `OLLAMA_MODELS` names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs"
        self.manifests = folder / "manifests"
        self._heads: dict[str, gguf.Gguf] = {}
        self._lock = threading.Lock()

    def blob(self, digest: str) -> Path:
        """Where the blob `sha256:HEX` lies or would lie."""
        return self.blobs / digest.replace(":", "-")

    def manifest_path(self, name: ModelName) -> Path:
        """Where the manifest of `name` lies or would lie."""
        return self.manifests / name.host / name.namespace / name.model / name.tag

    def models(self) -> list[Model]:
        """Every model, the one changed last first."""
        found = []
        for path in self.manifests.glob("*/*/*/*"):
            host, namespace, model, tag = path.relative_to(self.manifests).parts
            found.append(self._load(ModelName(host, namespace, model, tag), path))
        return sorted(found, key=lambda model: model.modified, reverse=True)

    def find(self, text: str) -> Model:
        """The model that a request calls `text`.

        Raises:
            UnknownModelError: no such model is there.
        """
        name = ModelName.parse(text)
        if name is None or not self.manifest_path(name).is_file():
            raise UnknownModelError(text)
        return self._load(name, self.manifest_path(name))

    @staticmethod
    def _load(name: ModelName, path: Path) -> Model:
        raw = path.read_bytes()
        modified = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
        return Model(name, json.loads(raw), hashlib.sha256(raw).hexdigest(), modified)

    def write(self, name: ModelName, manifest: bytes) -> None:
        """Put a manifest in place."""
        path = self.manifest_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest)

    def copy(self, source: str, destination: ModelName) -> None:
        """Give a model a second name.

        Raises:
            UnknownModelError: the source is not there.
        """
        self.write(destination, self.manifest_path(self.find(source).name).read_bytes())

    def delete(self, text: str) -> None:
        """Remove a name, and the blobs that no other name needs.

        Raises:
            UnknownModelError: no such model is there.
        """
        path = self.manifest_path(self.find(text).name)
        path.unlink()
        for folder in list(path.parents)[:3]:
            if any(folder.iterdir()):
                break
            folder.rmdir()
        self.prune()

    def prune(self) -> None:
        """Remove complete blobs that no manifest names; unfinished downloads stay."""
        used = {layer["digest"].replace(":", "-") for model in self.models() for layer in model.layers}
        for path in self.blobs.glob("sha256-*"):
            if "-partial" not in path.name and path.name not in used:
                path.unlink()

    def text(self, model: Model, media_type: str) -> str:
        """The content of a small text layer, empty where there is none."""
        layer = model.layer(media_type)
        return self.blob(layer["digest"]).read_text() if layer and self.blob(layer["digest"]).is_file() else ""

    def params(self, model: Model) -> dict[str, Any]:
        """The parameters that the model brings along."""
        loaded: dict[str, Any] = json.loads(self.text(model, PARAMS) or "{}")
        return loaded

    def weights(self, model: Model) -> Path:
        """The model file.

        Raises:
            MissingBlobError: one of the model's blobs is not there.
        """
        layer = model.layer(MODEL)
        if layer is None or not all(self.blob(part["digest"]).is_file() for part in model.layers):
            raise MissingBlobError(model.name.short)
        return self.blob(layer["digest"])

    def head(self, model: Model) -> gguf.Gguf | None:
        """The head of the model file, remembered once it was read; None where it cannot be read."""
        digest = str((model.layer(MODEL) or {}).get("digest"))
        with self._lock:
            if digest not in self._heads:
                try:
                    self._heads[digest] = gguf.read(self.blob(digest))
                except (OSError, ValueError, gguf.TruncatedError):
                    return None
            return self._heads[digest]

    def details(self, model: Model, lengths: bool = False) -> dict[str, Any]:
        """The `details` of an answer; `lengths` adds the context and embedding lengths, as `/api/tags` does."""
        config: dict[str, Any] = {}
        path = self.blob(str((model.manifest.get("config") or {}).get("digest")))
        if path.is_file():
            config = json.loads(path.read_bytes())
        head = self.head(model)
        details: dict[str, Any] = {
            "parent_model": (model.layer(MODEL) or {}).get("from", ""),
            "format": config.get("model_format", ""),
            "family": config.get("model_family", ""),
            "families": config.get("model_families"),
            "parameter_size": config.get("model_type", ""),
            "quantization_level": config.get("file_type", ""),
        }
        if lengths and head:
            for key in ("context_length", "embedding_length"):
                details[key] = head.metadata.get(f"{head.architecture}.{key}", 0)
        return details


def stamp(moment: datetime.datetime | None = None) -> str:
    """A moment (now by default) in Go's notation with nanoseconds."""
    moment = moment or datetime.datetime.now(datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def show(store: Store, model: Model) -> dict[str, Any]:
    """The answer of `/api/show`."""
    head = store.head(model)
    template, params = store.text(model, TEMPLATE), store.params(model)
    pairs = [(key, item) for key, value in params.items() for item in (value if isinstance(value, list) else [value])]
    weights = store.blob(str((model.layer(MODEL) or {}).get("digest")))
    modelfile = (
        '# Modelfile generated by "ollama show"\n# To build a new Modelfile based on this, replace FROM with:\n'
        f"# FROM {model.name.short}\n\nFROM {weights}\n"
        f'TEMPLATE "{template}"\n' + "".join(f"PARAMETER {key} {value}\n" for key, value in pairs)
    )
    hidden = ("general.name", "tokenizer.chat_template")
    info = {key: value for key, value in (head.metadata if head else {}).items() if key not in hidden}
    if head:
        info["general.parameter_count"] = head.parameters
    return {
        "modelfile": modelfile,
        "parameters": "\n".join(f"{key:<30} {json.dumps(value)}" for key, value in pairs),
        "template": template,
        "details": store.details(model),
        "model_info": dict(sorted(info.items())),
        "tensors": head.tensors if head else [],
        "capabilities": ["completion"],
        "modified_at": stamp(model.modified),
    }


def complete_name(text: str) -> str:
    """`text` with Ollama's default tag where it names none."""
    return text if ":" in text.rpartition("/")[2] else f"{text}:{DEFAULT_TAG}"
