"""The front end's files, as the widgets hand them to the browser."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parents[1] / "static"
_LAZY = ("math",)


def text(name: str) -> str:
    """Return the text of a file of the bundle, e.g. "chat.js"."""
    return (STATIC / name).read_text(encoding="utf-8")


def module(name: str) -> bytes:
    """Return the code of a module that views ask for when they need it.

    Raises:
        KeyError: There is no such module.
    """
    if name not in _LAZY:
        raise KeyError(name)
    return (STATIC / f"{name}.js").read_bytes()
