"""The module `ollama_release`: what it refuses, and that a refusal leaves nothing unpacked."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.doubles.build_ollama_archive import host_architecture
from tests.support.modules import run_module

ARCHIVE = f"ollama-linux-{host_architecture()}.tar.zst"


def publish(folder: Path, members: dict[str, bytes], *, cut: int = 0, listed: str = ARCHIVE) -> str:
    """Write a release with these members; `cut` bytes are missing at its end before its checksum is taken."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    data = zstandard.ZstdCompressor().compress(buffer.getvalue())
    data = data[: len(data) - cut]
    folder.mkdir()
    (folder / ARCHIVE).write_bytes(data)
    (folder / "sha256sum.txt").write_text(f"{hashlib.sha256(data).hexdigest()}  ./{listed}\n")
    return folder.as_uri()


def install(folder: Path, url: str) -> dict[str, Any]:
    arguments = {"url": url, "version": "1.0", "folder": str(folder / "ollama"), "downloads": str(folder / "downloads")}
    return run_module("ollama_release", arguments)


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ({"members": {"bin/ollama": b"", "../../../escaped": b""}}, "outside the destination"),
        ({"members": {"bin/ollama": b"", "/escaped": b""}}, "outside the destination"),
        ({"members": {"readme": b""}}, "holds no bin/ollama"),
        ({"members": {"bin/ollama": os.urandom(500_000)}, "cut": 100_000}, "cannot be unpacked"),
        ({"members": {"bin/ollama": b""}, "listed": "ollama-linux-other.tar.zst"}, "names no checksum"),
    ],
    ids=["leaves its folder", "absolute path", "no Ollama", "cut", "no checksum"],
)
def test_a_release_that_is_not_sound_is_refused(tmp_path: Path, release: dict[str, Any], words: str) -> None:
    result = install(tmp_path, publish(tmp_path / "release", **release))
    assert result["code"] != 0
    assert words in result["msg"]
    assert list((tmp_path / "ollama").glob("*")) == []
    assert not list(tmp_path.rglob("escaped"))


def test_a_sound_release_is_installed_once(tmp_path: Path) -> None:
    url = publish(tmp_path / "release", {"bin/ollama": b"#!/bin/sh\n"})
    assert install(tmp_path, url)["changed"]
    assert os.access(tmp_path / "ollama" / "1.0" / "bin" / "ollama", os.X_OK)
    assert list((tmp_path / "downloads").iterdir()) == []
    # Nothing is asked for again: the source may be gone.
    assert not install(tmp_path, (tmp_path / "gone").as_uri())["changed"]
