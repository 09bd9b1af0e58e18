"""The models folder of an Ollama: manifests by name, and the files that they name by their sha256.

Also the folder of a bundle for a host without network, which has the same layout.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ansible.module_utils.lab_paths import acting_as
from ansible.module_utils.lab_progress import Progress

OWN_REGISTRY = "registry.ollama.ai"
DISK_BLOCK = 512
_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class SourceError(Exception):
    """Where a model comes from does not answer now."""


class ModelError(Exception):
    """The model cannot be had; the text says why and what helps."""


@dataclass(frozen=True)
class Blob:
    """A file of a model: its digest in hexadecimal digits, and its bytes."""

    sha256: str
    size: int

    @property
    def file(self) -> str:
        """Its name in the folder `blobs`."""
        return f"sha256-{self.sha256}"


def blobs_of(manifest: bytes) -> list[Blob]:
    """The files that a manifest names, each once.

    Raises:
        ValueError: it is no manifest. A digest becomes a file's name, so nothing but a digest is let through.
    """
    try:
        content = json.loads(manifest)
        layers = [*content["layers"], *filter(None, [content.get("config")])]
        return list(dict.fromkeys(Blob(_DIGEST.fullmatch(layer["digest"])[1], int(layer["size"])) for layer in layers))  # type: ignore[index]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no manifest that names files by sha256 and size") from error


def repository(name: str) -> tuple[str, str]:
    """What a registry calls `NAME:TAG`, and the tag."""
    model, _, tag = name.partition(":")
    return model if "/" in model else f"library/{model}", tag


class Store:
    """A models folder, which need not exist."""

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.blobs = self.folder / "blobs"

    def path(self, blob: Blob) -> Path:
        """Where a file of a model lies or would lie."""
        return self.blobs / blob.file

    def manifest_path(self, name: str) -> Path:
        """Where the manifest of `NAME:TAG` lies or would lie."""
        return self.folder.joinpath("manifests", OWN_REGISTRY, *repository(name))

    def manifest(self, name: str) -> bytes | None:
        """The manifest of `NAME:TAG`, None where there is none."""
        path = self.manifest_path(name)
        return path.read_bytes() if path.is_file() else None

    def is_whole(self, name: str) -> bool:
        """Whether all files of a model are there in full; a model whose manifest lies elsewhere counts as whole."""
        manifest = self.manifest(name)
        try:
            return manifest is None or not self.lacking(blobs_of(manifest))
        except ValueError:
            return False

    def lacking(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those that are not there, or not whole: Ollama itself would never replace these."""
        return [blob for blob in blobs if not self.path(blob).is_file() or self.path(blob).stat().st_size != blob.size]

    def remains(self, blobs: Iterable[Blob]) -> list[Path]:
        """What is there of these files and of unfinished downloads of them."""
        return [path for blob in blobs for path in self.blobs.glob(f"{blob.file}*")]

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files."""
        with self.as_owner():
            for path in paths:
                path.unlink(missing_ok=True)

    def occupied(self, blobs: Iterable[Blob]) -> int:
        """Bytes on the disk that broken files and unfinished downloads of these already take."""
        return sum(path.stat().st_blocks * DISK_BLOCK for path in self.remains(blobs))

    def free(self) -> int:
        """Free bytes on the folder's disk."""
        return shutil.disk_usage(next(path for path in (self.folder, *self.folder.parents) if path.exists())).free

    def take(self, name: str, bundle: Store, progress: Progress) -> None:
        """Copy a model from a bundle: first the files that are lacking, its manifest last, all under their digests.

        Args:
            name: `NAME:TAG`, which the bundle has.
            bundle: Another folder of this layout.
            progress: Gets the figures.

        Raises:
            ModelError: a file of the bundle is missing or damaged, or the disk is full; nothing of the model is left.
        """
        manifest = bundle.manifest(name) or b""
        lacking = self.lacking(blobs_of(manifest))
        with contextlib.ExitStack() as opened:
            readers = [opened.enter_context(bundle.path(blob).open("rb")) for blob in lacking]
            opened.enter_context(self.as_owner())
            try:
                for blob, reader in zip(lacking, readers, strict=True):
                    self._place(self.path(blob), checked(reader, blob, progress))
                self._place(self.manifest_path(name), [manifest])
            except (OSError, ModelError) as error:
                self.remove(map(self.path, lacking))
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise ModelError(full_disk(self.folder)) from error
                raise

    def _place(self, target: Path, chunks: Iterable[bytes]) -> None:
        # Ollama reads every file below `manifests` as a model, so the unfinished one lies outside.
        fresh = self.folder / f".{target.name}.copy"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)

    def as_owner(self) -> contextlib.AbstractContextManager[None]:
        """Act as the folder's owner, who is the server's account, where root runs this.

        What is made belongs to the server so, and a link that it laid leads root nowhere else.
        """
        owner = self.folder.stat()
        return acting_as(owner.st_uid, owner.st_gid)


def checked(reader: BinaryIO, blob: Blob, progress: Progress) -> Iterator[bytes]:
    """The contents of a bundle's file; raises ModelError at the end where they differ from its digest."""
    state = hashlib.sha256()
    while chunk := reader.read(_CHUNK):
        state.update(chunk)
        yield chunk
        progress.bytes(reader.tell(), blob.size)
    if state.hexdigest() != blob.sha256:
        raise ModelError(
            f"{reader.name} differs from its digest (it has sha256 {state.hexdigest()}). "
            "Copy the bundle again from where it came."
        )


def full_disk(folder: Path) -> str:
    """What to say when the disk filled up in spite of the comparison with the free space before."""
    return f"the disk of {folder} is full; what was brought of it was removed. Make room there."
