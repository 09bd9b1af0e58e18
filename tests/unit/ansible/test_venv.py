"""The module `lab_venv` runs no code of the packages that it installs, and builds one environment at a time."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

from tests.support.lab import wait_until
from tests.support.modules import run_module, start_module

# Notes what it is asked for, and goes on at the word of the test.
SLOW_UV = """#!/bin/sh
echo "$1" >> {0}/log
if [ "$1" = venv ]; then mkdir -p "$5/bin"; else cat {0}/gate; fi
echo "$1 ended" >> {0}/log
"""


def test_a_package_that_would_have_to_be_built_is_refused_and_not_run(tmp_path: Path) -> None:
    planted, source = tmp_path / "planted", tmp_path / "eager-1.0.tar.gz"
    setup = f"open({str(planted)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='eager', version='1.0')\n"
    with tarfile.open(source, "w:gz") as archive:
        for name, text in (("setup.py", setup), ("PKG-INFO", "Metadata-Version: 2.1\nName: eager\nVersion: 1.0\n")):
            member = tarfile.TarInfo(f"eager-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    requirements = f"eager @ {source.as_uri()} --hash=sha256:{digest}\n"
    uv = Path(sys.executable).with_name("uv")
    (tmp_path / "venvs").mkdir()
    places = {"folder": str(tmp_path / "venvs"), "requirements": requirements, "uv": str(uv)}
    made = run_module("lab_venv", places | {"name": "eager", "python": sys.executable})
    assert made["failed"]
    assert "eager" in made["msg"]
    assert not planted.exists()
    assert not list((tmp_path / "venvs").glob("eager-*"))


def test_what_outlives_a_killed_run_is_waited_for_and_its_folder_made_anew(tmp_path: Path) -> None:
    uv, gate, log = tmp_path / "uv", tmp_path / "gate", tmp_path / "log"
    uv.write_text(SLOW_UV.format(tmp_path))
    uv.chmod(0o755)
    os.mkfifo(gate)
    places = {"folder": str(tmp_path), "requirements": "", "uv": str(uv)}
    arguments = places | {"name": "slow", "python": sys.executable}
    with start_module("lab_venv", arguments) as first:
        wait_until(lambda: log.exists() and "pip" in log.read_text(), 20, "the first build is under way")
        first.kill()
    with start_module("lab_venv", arguments) as second:
        opened = Path(f"/proc/{second.pid}/fd")
        wait_until(lambda: str(tmp_path / ".slow.lock") in map(os.readlink, opened.iterdir()), 20, "it waits")
        gate.write_text("")
        wait_until(lambda: "pip ended" in log.read_text(), 20, "the first one's uv ended")
        gate.write_text("")
        assert second.wait(20) == 0
    assert log.read_text().split("\n")[:-1] == ["venv", "venv ended", "pip", "pip ended"] * 2
    assert {path.resolve().parent.name[:5] for path in tmp_path.glob("*/.complete")} == {"slow-"}
    assert not run_module("lab_venv", arguments)["changed"]
