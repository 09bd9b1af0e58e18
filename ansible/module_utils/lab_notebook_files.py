"""Copies of the project's notebooks that people work in; the module and each person's server bring them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

LEFT_BY_RUNNING = {"__pycache__", ".ipynb_checkpoints"}


def read(source: Path, version: str) -> dict[str, bytes]:
    """The files to copy by their path below `source`; notebooks for a version of Python."""
    files = {path.relative_to(source): path for path in sorted(source.rglob("*")) if path.is_file()}
    wanted = {str(name): path.read_bytes() for name, path in files.items() if not LEFT_BY_RUNNING & set(name.parts)}
    return {name: run_by(version, text) if name.endswith(".ipynb") else text for name, text in wanted.items()}


def run_by(version: str, notebook: bytes) -> bytes:
    """A notebook as JupyterLab saves it where this version of Python runs it."""
    content = json.loads(notebook)
    content["metadata"]["language_info"]["version"] = version
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def bring(wanted: dict[str, bytes], shipped: dict[str, str], folder: Path, dry: bool) -> tuple[list[str], list[str]]:
    """Bring each file that nobody changed to what it should be, and `shipped` up to date.

    Args:
        wanted: The files' contents by name.
        shipped: Sha256 of what was last copied, by name.
        folder: Where the copies lie.
        dry: Whether to leave the folder as it is.

    Returns:
        Names of the files that changed, and of those that somebody's changes kept from a newer version.
    """
    changed, kept = [], []
    for name in sorted(wanted.keys() | shipped.keys()):
        target, before, after = folder / name, shipped.get(name), None
        if name in wanted:
            after = hashlib.sha256(wanted[name]).hexdigest()
        present = hashlib.sha256(target.read_bytes()).hexdigest() if target.is_file() else None
        if present not in (before, after):
            kept += [name] if after not in (None, before) else []
        elif present != after:
            changed.append(name)
            if not dry:
                replace(target, wanted.get(name))
        if after is None:
            del shipped[name]
        elif present in (before, after):
            shipped[name] = after
    return changed, kept


def replace(target: Path, content: bytes | None) -> None:
    """Give a file another content, or remove it."""
    if content is None:
        target.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_bytes(content)
    fresh.replace(target)
