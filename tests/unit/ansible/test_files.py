"""The module `lab_files` makes folders and files, shows what differs, and is led nowhere by others' links."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.modules import run_module

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have another account")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_folders_and_files_are_made_once_whatever_the_umask(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    wanted = {
        "folders": [{"path": str(home / "config"), "mode": "0755"}],
        "files": [
            {"path": str(home / "config/a.json"), "content": "new\n"},
            {"path": str(home / "b.env"), "content": "K=sk-secret\n", "mode": "0600"},
        ],
    }
    before = os.umask(0o077)
    try:
        made = run_module("lab_files", wanted)
    finally:
        os.umask(before)
    assert made["changed"], made
    assert (mode(home / "config"), mode(home / "config/a.json"), mode(home / "b.env")) == (0o755, 0o644, 0o600)
    assert (home / "b.env").read_text() == "K=sk-secret\n"
    assert not run_module("lab_files", wanted)["changed"]
    (home / "config/a.json").chmod(0o600)
    assert run_module("lab_files", wanted, check=True)["changed"]
    assert mode(home / "config/a.json") == 0o600
    assert run_module("lab_files", wanted)["changed"]
    assert mode(home / "config/a.json") == 0o644


def test_a_check_on_a_fresh_host_shows_files_but_no_secret_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "lab/config"
    shared = {"owner": "not-there-yet", "group": "not-there-yet"}
    (tmp_path / "there").write_text("old\n")
    result = run_module(
        "lab_files",
        {
            "folders": [{"path": str(folder), "mode": "0750", **shared}],
            "files": [
                {"path": str(folder / "b.env"), "content": "K=sk-secret\n", "mode": "0600", **shared},
                {"path": str(tmp_path / "there"), "content": "new\n", **shared},
            ],
        },
        check=True,
    )
    assert [line["after_header"] for line in result["diff"]] == [str(folder), f"{folder}/b.env", f"{tmp_path}/there"]
    assert (result["diff"][2]["before"], result["diff"][2]["after"]) == ("old\n", "new\n")
    assert "sk-secret" not in str(result)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_an_error_names_the_path_and_shows_no_secret(tmp_path: Path) -> None:
    file = {"path": str(tmp_path / "missing/b.env"), "content": "K=sk-secret\n", "mode": "0600"}
    failed = run_module("lab_files", {"files": [file]})
    assert failed["msg"].startswith(f"{tmp_path}/missing/b.env cannot be made: ")
    assert "sk-secret" not in str(failed)


def test_a_link_of_ones_own_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("../" + tmp_path.name + "/disk")
    run_module("lab_files", {"folders": [{"path": str(tmp_path / "link/models"), "mode": "0755"}]})
    assert (tmp_path / "disk/models").is_dir()


@as_root
@pytest.mark.parametrize("planted", ["data", "data/models", "data/models/file"])
def test_root_is_led_nowhere_by_a_planted_link(tmp_path: Path, planted: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (victim / "file").write_text("untouched")
    place = tmp_path / planted
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(victim / "file" if planted.endswith("file") else victim)
    os.lchown(place, NOBODY, NOBODY)
    account = {"owner": "nobody", "group": "nogroup"}
    entries = {
        "folders": [{"path": str(tmp_path / "data/models"), "mode": "0755", **account}],
        "files": [{"path": str(tmp_path / "data/models/file"), "content": "x", **account}],
    }
    result = run_module("lab_files", entries)
    assert planted.endswith("file") or "account nobody laid the link" in result["msg"]
    assert [(path.name, path.read_text(), path.stat().st_uid) for path in victim.iterdir()] == [
        ("file", "untouched", 0)
    ]
    assert (mode(victim), victim.stat().st_uid) == (0o700, 0)


@as_root
def test_a_folder_that_changes_hands_takes_with_it_what_its_owner_had_and_nothing_else(tmp_path: Path) -> None:
    folder, foreign = tmp_path / "models", tmp_path / "foreign"
    (folder / "blobs").mkdir(parents=True)
    for path in (folder / "blobs/a", foreign):
        path.write_text("x")
    (folder / "link").symlink_to(foreign)
    for path in (folder, folder / "blobs", folder / "blobs/a", folder / "link"):
        os.lchown(path, 1234, 1234)
    (folder / "roots").write_text("x")
    entry = {"path": str(folder), "mode": "0755", "owner": "nobody", "group": "nogroup", "adopt": True}
    assert run_module("lab_files", {"folders": [entry]})["changed"]
    owners = {path.name: path.lstat().st_uid for path in (folder, *folder.rglob("*"), foreign)}
    assert owners == {"models": NOBODY, "blobs": NOBODY, "a": NOBODY, "link": NOBODY, "roots": 0, "foreign": 0}
    assert not run_module("lab_files", {"folders": [entry]})["changed"]
