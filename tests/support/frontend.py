"""The front end's sources, with the npm packages that build and test them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "widgets" / "frontend"
_STAMP = SOURCES / "node_modules" / ".installed"


def npm(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run npm in the sources' folder, with the environment's own node."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["npm", *arguments], cwd=SOURCES, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def install() -> None:
    """Install the locked packages, unless they are there."""
    lock = hashlib.sha256((SOURCES / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == lock:
        return
    run = npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
    assert run.returncode == 0, run.stdout + run.stderr
    _STAMP.write_text(lock, encoding="utf-8")
