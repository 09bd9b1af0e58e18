"""Build the project's wheel, and say what it is: a JSON object of its path, release, and digest of the gateway's part.

The same source gives the same bytes, so its digest names a release. It stays in `build/` of the checkout, or where
that cannot be written in the caller's cache, together with the two before it.

Usage: python ansible/release.py
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OTHERS_KEPT = 2
DIGITS = 12


def digest_of(*parts: bytes) -> str:
    """The first hexadecimal digits of the parts' sha256."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:DIGITS]


def gateway_digest(wheel: Path) -> str:
    """What changes when code changed that runs in the gateway, and not with any other part."""
    with zipfile.ZipFile(wheel) as opened:
        names = sorted(name for name in opened.namelist() if name.startswith("litellm_hub/gateway/"))
        return digest_of(*(part for name in names for part in (f"\0{name}\0".encode(), opened.read(name))))


def wheels_folder() -> Path:
    """Where built wheels stay: in the checkout, or in the caller's cache where the checkout cannot be written."""
    folder = ROOT / "build/wheels"
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder if os.access(nearest, os.W_OK) else cache / "genailabs/wheels"


def main() -> None:
    """Build, keep and describe the wheel."""
    folder = wheels_folder()
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", scratch]
        done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"The project's wheel could not be built; is .venv current (make venv)?\n{done.stderr}")
        [built] = Path(scratch).glob("*.whl")
        digest = digest_of(built.read_bytes())
        wheel = folder / digest / built.name
        if not wheel.exists():
            wheel.parent.mkdir(exist_ok=True)
            built.replace(wheel)
    others = [path for path in folder.glob("?" * DIGITS) if path.name != digest]
    for old in sorted(others, key=lambda path: path.stat().st_mtime)[:-OTHERS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    release = f"{wheel.name.split('-')[1]}-{digest}"
    print(json.dumps({"path": str(wheel), "release": release, "gateway": gateway_digest(wheel)}))


if __name__ == "__main__":
    main()
