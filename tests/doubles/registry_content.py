"""The models that the mirror's registry serves, as Ollama's own manifests and blobs."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.ollama import gguf, store

TEMPLATE = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
STOP = ("<|im_start|>", "<|im_end|>")


@functools.cache
def file_digest(path: Path) -> str:
    """The file's digest as `sha256:HEX`."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class RegistryContent:
    """Manifests by `NAME:TAG` and blobs by digest; a blob is its bytes or the file that holds them."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes | Path] = field(default_factory=dict)

    def add(self, name: str, model: Path, *, context: int | None = None, pushed_from: str = "") -> str:
        """Publish the GGUF file `model` as `name` (`NAME:TAG`).

        Args:
            name: the name and tag below `library/`.
            model: the GGUF file.
            context: `num_ctx` in tokens among the model's own parameters; None leaves it to the server.
            pushed_from: the path on the machine of the one who pushed, which Ollama writes into the manifest.

        Returns:
            The manifest's digest as hexadecimal digits, which Ollama shows as the model's digest.
        """
        params = {**({"num_ctx": context} if context else {}), "stop": list(STOP)}
        parts = [
            (store.TEMPLATE, TEMPLATE.encode()),
            (store.PARAMS, (_go_json(params) + "\n").encode()),
        ]
        self.blobs[file_digest(model)] = model
        layers: list[dict[str, Any]] = [
            {"mediaType": store.MODEL, "digest": file_digest(model), "size": model.stat().st_size}
        ]
        if pushed_from:
            layers[0]["from"] = pushed_from
        for media_type, content in parts:
            self.blobs[_digest(content)] = content
            layers.append({"mediaType": media_type, "digest": _digest(content), "size": len(content)})
        config = _config(model, [layer["digest"] for layer in layers])
        self.blobs[_digest(config)] = config
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": _digest(config),
                "size": len(config),
            },
            "layers": layers,
        }
        raw = _go_json(manifest).encode()
        self.manifests[name] = raw
        return hashlib.sha256(raw).hexdigest()

    def place(self, name: str, models: Path) -> None:
        """Write a published model's files below the models folder of an Ollama, with no registry involved."""
        target = store.Store(models)
        manifest = self.manifests[name]
        model, _, tag = name.partition(":")
        target.blobs.mkdir(parents=True, exist_ok=True)
        for layer in [*json.loads(manifest)["layers"], json.loads(manifest)["config"]]:
            content = self.blobs[layer["digest"]]
            path = target.blob(layer["digest"])
            path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
        path = target.manifests / "registry.ollama.ai" / "library" / model / tag
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest)


def _go_json(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _config(model: Path, layer_digests: list[str]) -> bytes:
    head = gguf.read(model)
    config = {
        "model_format": "gguf",
        "model_family": head.architecture,
        "model_families": [head.architecture],
        "model_type": head.parameter_size,
        "file_type": head.file_type,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": layer_digests},
    }
    return (_go_json(config) + "\n").encode()
