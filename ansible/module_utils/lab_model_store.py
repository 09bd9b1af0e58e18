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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ansible.module_utils.lab_progress import Progress

OWN_REGISTRY = "registry.ollama.ai"
DISK_BLOCK = 512
_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class ModelError(Exception):
    """The model cannot be had; the text says why and what helps."""


@dataclass(frozen=True)
class Blob:
    """A file of a model.

    Attributes:
        sha256: Its digest in hexadecimal digits.
        size: Bytes.
    """

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
        named = [(_DIGEST.fullmatch(layer["digest"]), int(layer["size"])) for layer in layers]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no manifest: {error!r}") from error
    return list(dict.fromkeys(Blob(_digits(match), size) for match, size in named))


def _digits(match: re.Match[str] | None) -> str:
    if match is None:
        raise ValueError("no manifest: it names a file without its sha256")
    return match[1]


class Store:
    """A models folder.

    Args:
        folder: The folder; it need not exist.
        deep: Whether files are compared with their digest, not with their size alone.
    """

    def __init__(self, folder: str, deep: bool = False):
        self.folder = Path(folder)
        self.blobs = self.folder / "blobs"
        self.deep = deep
        self._sound: dict[str, bool] = {}

    def path(self, blob: Blob) -> Path:
        """Where a file of a model lies or would lie."""
        return self.blobs / blob.file

    def manifest_path(self, name: str) -> Path:
        """Where the manifest of `NAME:TAG` lies or would lie."""
        model, _, tag = name.partition(":")
        return self.folder / "manifests" / OWN_REGISTRY / (model if "/" in model else f"library/{model}") / tag

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

    def lacking(self, blobs: list[Blob]) -> list[Blob]:
        """Those that are not there, or not whole: Ollama itself would never replace these."""
        return [blob for blob in blobs if not self.has(blob)]

    def has(self, blob: Blob) -> bool:
        """Whether a file is there and whole."""
        path = self.path(blob)
        if not path.is_file() or path.stat().st_size != blob.size:
            return False
        if self.deep and blob.sha256 not in self._sound:
            with path.open("rb") as file:
                self._sound[blob.sha256] = hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256
        return self._sound.get(blob.sha256, True)

    def remove_damaged(self, blobs: list[Blob]) -> None:
        """Remove the files that are there but not whole; unfinished downloads stay."""
        for blob in self.lacking(blobs):
            self.path(blob).unlink(missing_ok=True)
            self._sound.pop(blob.sha256, None)

    def partials(self, blob: Blob) -> list[Path]:
        """What unfinished downloads of a file left."""
        return list(self.blobs.glob(f"{blob.file}-partial*"))

    def remove(self, blobs: list[Blob]) -> None:
        """Remove files, and what unfinished downloads of them left."""
        for blob in blobs:
            for path in (self.path(blob), *self.partials(blob)):
                path.unlink(missing_ok=True)
            self._sound.pop(blob.sha256, None)

    def occupied(self, blobs: list[Blob]) -> int:
        """Bytes on the disk that broken files and unfinished downloads of these already take."""
        paths = [path for blob in blobs for path in (self.path(blob), *self.partials(blob)) if path.exists()]
        return sum(path.stat().st_blocks * DISK_BLOCK for path in paths)

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
        done: list[Blob] = []
        try:
            for blob in lacking:
                self._copy(bundle.path(blob), blob, progress)
                done.append(blob)
            self._write_manifest(self.manifest_path(name), manifest)
        except (OSError, ModelError) as error:
            self.remove(done)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise ModelError(full_disk(self.folder)) from error
            raise

    def _copy(self, source: Path, blob: Blob, progress: Progress) -> None:
        target, state = self.path(blob), hashlib.sha256()
        with source.open("rb") as reader, self._placing(target, target.with_name(f"{target.name}.copy")) as writer:
            while chunk := reader.read(_CHUNK):
                state.update(chunk)
                writer.write(chunk)
                progress.bytes(writer.tell(), blob.size)
            if state.hexdigest() != blob.sha256:
                raise ModelError(
                    f"{source} differs from its digest (it has sha256 {state.hexdigest()}). "
                    "Copy the bundle again from where it came."
                )
        self._sound.pop(blob.sha256, None)

    def _write_manifest(self, path: Path, manifest: bytes) -> None:
        # Ollama reads every file below `manifests` as a model, so the unfinished one lies outside.
        with self._placing(path, self.folder / f".{path.parent.name}-{path.name}.copy") as writer:
            writer.write(manifest)

    @contextlib.contextmanager
    def _placing(self, target: Path, fresh: Path) -> Iterator[BinaryIO]:
        """A new file `fresh`, which becomes `target` when the block ends well; otherwise nothing of it is left."""
        try:
            with self._as_owner():
                self._make_folder(target.parent)
                fresh.unlink(missing_ok=True)
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)
                yield file
                file.flush()
                os.fsync(descriptor)
            with self._as_owner():
                fresh.replace(target)
        finally:
            with self._as_owner():
                fresh.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        for path in reversed([folder, *folder.parents]):
            if path.is_relative_to(self.folder) and not path.is_dir():
                path.mkdir()
                path.chmod(0o755)

    @contextlib.contextmanager
    def _as_owner(self) -> Iterator[None]:
        """Act as the folder's owner, who is the server's account, where root runs this.

        What is made belongs to the server so, and a link that it laid leads root nowhere else.
        """
        if os.geteuid() != 0:
            yield
            return
        owner, groups = self.folder.stat(), os.getgroups()
        os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)


def full_disk(folder: Path) -> str:
    """What to say when the disk filled up in spite of the comparison with the free space before."""
    return f"the disk of {folder} is full; what was brought of it was removed. Make room there."
