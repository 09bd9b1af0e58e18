"""Builds a release of the double that looks like one of Ollama's: archive and published checksums."""

from __future__ import annotations

import argparse
import hashlib
import io
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.doubles.ollama import VERSION

ARCHITECTURES = ("amd64", "arm64")
_PACKAGE = Path(__file__).with_name("ollama")
_START = """import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))

from ollama_double.cli import main  # noqa: E402 - it lies beside this file

sys.exit(main(sys.argv[1:], [str(here / "llama-server")]))
"""


def host_architecture() -> str:
    """This machine's architecture in the words of Ollama's file names."""
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def _launcher(python: Path, script: str) -> bytes:
    # Follows links to itself, as an installation may link bin/ollama into a folder on the PATH.
    return (
        f'#!/bin/sh\nexec {shlex.quote(str(python))} -I "$(dirname "$(dirname "$(readlink -f "$0")")")/{script}" "$@"\n'
    ).encode()


def members(python: Path) -> dict[str, tuple[bytes, int]]:
    """The archive's files: content and mode by name."""
    files = {
        "bin/ollama": (_launcher(python, "lib/ollama/start.py"), 0o755),
        "lib/ollama/llama-server": (_launcher(python, "ollama/ollama_double/llama_server.py"), 0o755),
        "lib/ollama/start.py": (_START.encode(), 0o644),
    }
    for path in sorted(_PACKAGE.glob("*.py")):
        files[f"lib/ollama/ollama_double/{path.name}"] = (path.read_bytes(), 0o644)
    return files


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _compress(data: bytes) -> bytes:
    """Compress with whatever this machine has for Zstandard.

    Raises:
        RuntimeError: it has nothing.
    """
    program = shutil.which("zstd")
    if program:
        return subprocess.run([program, "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise RuntimeError("neither the program zstd nor the Python package zstandard is here") from error
    return bytes(zstandard.ZstdCompressor().compress(data))


def build(folder: Path, python: Path, version: str = VERSION, *, broken: bool = False) -> Path:
    """Write a release below `folder`, laid out as Ollama's download URL.

    Args:
        folder: a web server's root.
        python: the interpreter that runs the double; it must have xllamacpp and be reachable by the service.
        version: the release's number.
        broken: whether its server ends as soon as it is started.

    Returns:
        The folder `v<version>` with the archives and `sha256sum.txt`.
    """
    release = folder / f"v{version}"
    release.mkdir(parents=True, exist_ok=True)
    files = members(python)
    if broken:
        files["bin/ollama"] = (b"#!/bin/sh\necho 'Error: this release is broken' >&2\nexit 1\n", 0o755)
    data = _compress(_tar(files))
    names = [f"ollama-linux-{architecture}.tar.zst" for architecture in ARCHITECTURES]
    for name in names:
        (release / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (release / "sha256sum.txt").write_text("".join(f"{digest}  ./{name}\n" for name in names))
    return release


def main() -> int:
    """Build from the command line and print the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", type=Path, required=True, help="interpreter with xllamacpp")
    parser.add_argument("--version", default=VERSION)
    arguments = parser.parse_args()
    print(build(arguments.folder, arguments.python.absolute(), arguments.version))
    return 0


if __name__ == "__main__":
    sys.exit(main())
