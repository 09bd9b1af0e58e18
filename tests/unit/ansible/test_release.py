"""The project's wheel: what is in it, and which changes make another one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.lab import ROOT


class Checkout:
    """What the wheel is made of, to be changed at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        left_out = shutil.ignore_patterns("node_modules", "__pycache__")
        for name in ("litellm_hub", "widgets", "notebooks"):
            shutil.copytree(ROOT / name, folder / name, ignore=left_out)
        (folder / "ansible").mkdir()
        for name in ("pyproject.toml", "LICENSE", ".gitignore", "ansible/release.py"):
            shutil.copy(ROOT / name, folder / name)

    def add_line(self, name: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write("\n")

    def build(self) -> dict[str, str]:
        command = [sys.executable, self.folder / "ansible/release.py"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        answer: dict[str, str] = json.loads(done.stdout)
        return answer


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_same_source_gives_the_same_wheel_whenever_and_wherever_it_is_built(checkout: Checkout) -> None:
    first = checkout.build()
    for path in checkout.folder.rglob("*.py"):
        os.utime(path, (0, 2**30))
        path.chmod(path.stat().st_mode & 0o700)
    (checkout.folder / "widgets/__pycache__").mkdir()
    (checkout.folder / "widgets/__pycache__/magic.cpython-311.pyc").write_bytes(b"left by running it")
    assert checkout.build() == first


def test_the_gateway_is_asked_to_restart_by_its_own_code_alone(checkout: Checkout) -> None:
    before = checkout.build()
    checkout.add_line("widgets/magic.py")
    panel = checkout.build()
    checkout.add_line("litellm_hub/gateway/rows.py")
    gateway = checkout.build()
    assert len({before["release"], panel["release"], gateway["release"]}) == 3
    assert before["gateway"] == panel["gateway"] != gateway["gateway"]


def test_the_wheel_holds_what_runs_and_no_sources_of_the_front_end(checkout: Checkout) -> None:
    built = checkout.build()
    dist_info = f"genailabs-{built['release'].partition('-')[0]}.dist-info"
    with zipfile.ZipFile(built["path"]) as wheel:
        names = {name.split(".data/data/")[-1]: wheel.getinfo(name) for name in wheel.namelist()}
    for needed in (
        "litellm_hub/client/client.py",
        "litellm_hub/usage/cloud_prices.json",
        "litellm_hub/usage/demo/litellm_tables.sql",
        "litellm_hub/gateway/migrations/0003_usage_rollup.sql",
        "litellm_hub/gateway/engine/package-lock.json",
        "litellm_hub/deploy/docker-compose.yml",
        "litellm_hub/deploy/database/roles.sql",
        "widgets/static/chat.js",
        "share/jupyter/labextensions/genailabs/static/remoteEntry.js",
        "share/jupyter/labextensions/genailabs/static/cells.js",
        "share/genailabs/notebooks/chat.ipynb",
        "share/genailabs/notebooks/welcome.md",
    ):
        assert needed in names
    assert names["litellm_hub/gateway/engine/prisma-query-engine.mjs"].external_attr >> 16 & 0o111, "Prisma runs it"
    assert {name.partition("/")[0] for name in names} <= {"litellm_hub", "widgets", "share", dist_info}
    assert not [name for name in names if "frontend" in name or "node_modules" in name or "README" in name]
