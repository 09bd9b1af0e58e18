"""Folders named after the digest of what they were made from, so that a new version never touches the running one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

COMPLETE = ".complete"


def digest_of(*parts: str | bytes) -> str:
    """Twelve hexadecimal digits that stand for `parts`."""
    state = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()[:12]


def ignored(path: Path) -> bool:
    """Left-overs of running or building that are no part of a source folder."""
    return any(part in {"__pycache__", "node_modules", ".ipynb_checkpoints"} for part in path.parts)


def is_complete(folder: Path) -> bool:
    """Whether the folder was made to its end."""
    return (folder / COMPLETE).is_file()


def make(folder: Path, build: Callable[[Path], None]) -> None:
    """Build `folder`; what an interrupted run left is removed first, and a failed one leaves nothing.

    Args:
        folder: Its final place (environments are not movable).
        build: Fills the folder, and raises an exception if it cannot.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        build(folder)
        (folder / COMPLETE).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def older_versions(folder: Path) -> list[Path]:
    """Folders of the same name with another digest, oldest first."""
    name = folder.name.rsplit("-", 1)[0]
    others = [
        path for path in folder.parent.glob(f"{name}-*") if path != folder and path.name.rsplit("-", 1)[0] == name
    ]
    return sorted(others, key=lambda path: path.stat().st_mtime)
