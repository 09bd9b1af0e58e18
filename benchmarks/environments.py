"""Virtual environments from locks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def made(folder: Path, lock: Path) -> Path:
    """Make an environment unless it is there and its lock has not changed.

    Args:
        folder: Of the environment.
        lock: Requirements with hashes.

    Returns:
        The folder.
    """
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


def of_role(build: Path, role: str) -> Path:
    """Install what a role of the lab pins into an environment of the build folder.

    Args:
        build: The benchmark's build folder.
        role: Name of the role.

    Returns:
        Its Python.
    """
    return made(build / f"venv-{role}", ROOT / f"ansible/roles/{role}/files/requirements.txt") / "bin/python"
