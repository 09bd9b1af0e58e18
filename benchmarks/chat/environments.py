"""The peers' virtual environments, made from their locks."""

from __future__ import annotations

from pathlib import Path

from benchmarks.environments import ROOT, made

BUILD = ROOT / "build/bench-chat"


def environment(name: str) -> Path:
    """Return the folder of a peer's environment."""
    return made(BUILD / "venvs" / name, Path(__file__).parent / f"peers/{name}.txt")
