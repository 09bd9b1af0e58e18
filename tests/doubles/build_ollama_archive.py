"""Builds a release of the double that looks like one of Ollama's: archive and published checksums."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.doubles import ollama_store
from tests.doubles.ollama import VERSION

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ARCHIVE = f"ollama-linux-{ARCHITECTURE}.tar.zst"
BROKEN = b"#!/bin/sh\necho 'Error: this release is broken' >&2\nexit 1\n"
# Stands for the process of a loaded model, which outlives a server that is killed.
RUNNER = b"import signal\nsignal.pause()\n"


def service_python() -> str:
    """An interpreter that the services' account can run: root's own may lie in its home."""
    return "/usr/bin/python3" if os.geteuid() == 0 else sys.executable


def members(python: str) -> dict[str, bytes]:
    """The archive's files."""
    script = '#!/bin/sh\nlib="$(dirname "$(dirname "$0")")/lib/ollama"\nexport PYTHONPATH="$lib"\n'
    script += f'exec "{python}" "$lib/tests/doubles/ollama.py" "$@"\n'
    folder = Path(ollama_store.__file__).parent
    files = [folder / "ollama.py", folder / "ollama_store.py", *ollama_store.RECORDINGS.glob("*.json")]
    return {
        "bin/ollama": script.encode(),
        "lib/ollama/llama-server": RUNNER,
        **{f"lib/ollama/tests/doubles/{path.relative_to(folder)}": path.read_bytes() for path in files},
    }


def publish(folder: Path, version: str, files: dict[str, bytes]) -> None:
    """Write a release of these files below `folder`, a web server's root, laid out as Ollama's download URL."""
    release = folder / f"v{version}"
    release.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o700
            archive.addfile(info, io.BytesIO(content))
    packed = subprocess.run(["zstd", "-q", "-c"], input=buffer.getvalue(), stdout=subprocess.PIPE, check=True).stdout
    (release / ARCHIVE).write_bytes(packed)
    (release / "sha256sum.txt").write_text(f"{hashlib.sha256(packed).hexdigest()}  ./{ARCHIVE}\n")


def build(folder: Path, version: str = VERSION, *, broken: bool = False, python: str = "") -> None:
    """Write a release of the double below `folder`.

    Args:
        folder: a web server's root.
        version: the release's number.
        broken: whether its server ends as soon as it is started.
        python: the interpreter that runs it, by default one that the services' account can run here.
    """
    publish(folder, version, members(python or service_python()) | ({"bin/ollama": BROKEN} if broken else {}))
