"""The module `lab_venv` runs no code of the packages that it installs."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

from tests.support.modules import run_module


def test_a_package_that_would_have_to_be_built_is_refused_and_not_run(tmp_path: Path) -> None:
    planted, source = tmp_path / "planted", tmp_path / "eager-1.0.tar.gz"
    setup = f"open({str(planted)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='eager', version='1.0')\n"
    with tarfile.open(source, "w:gz") as archive:
        for name, text in (("setup.py", setup), ("PKG-INFO", "Metadata-Version: 2.1\nName: eager\nVersion: 1.0\n")):
            member = tarfile.TarInfo(f"eager-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    (tmp_path / "requirements.txt").write_text(f"eager @ {source.as_uri()} --hash=sha256:{digest}\n")
    uv = Path(sys.executable).with_name("uv")
    places = {"folder": str(tmp_path / "venvs"), "requirements": str(tmp_path / "requirements.txt"), "uv": str(uv)}
    made = run_module("lab_venv", places | {"name": "eager", "python": sys.executable})
    assert made["failed"]
    assert "eager" in made["msg"]
    assert not planted.exists()
    assert not list((tmp_path / "venvs").glob("eager-*"))
