"""The peers' virtual environments, made from their locks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench-chat"
LOCKS = Path(__file__).parent / "peers"


def environment(name: str) -> Path:
    """Return the folder of a peer's environment, made anew where it is missing or its lock has changed."""
    lock = LOCKS / f"{name}.txt"
    folder = BUILD / "venvs" / name
    stamp = folder / "lock.sha256"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    install = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin/python", lock]
    subprocess.run(install, check=True)
    stamp.write_text(digest)
    return folder
