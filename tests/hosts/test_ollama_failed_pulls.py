"""What the module `ollama_models` leaves on the disk after a pull failed, by the way in which Ollama says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.mirror import Mirror
from tests.doubles.runtime import model_file, runtime_python
from tests.hosts.test_ollama_models import PHI
from tests.support.modules import run_module

RECORDINGS = Path(__file__).parents[1] / "doubles" / "recordings"


def last_line(recording: str) -> bytes:
    """The line that ended a recorded pull."""
    body = json.loads((RECORDINGS / f"{recording}.json").read_text())["response"]["body"]
    return str(body[-1]["line"]).encode()


class Server(ThreadingHTTPServer):
    """An Ollama without models, whose pulls bring one file, a part of another, and end with `ending`."""

    def __init__(self, models: Path, digests: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs = models / "blobs"
        self.blobs.mkdir(parents=True)
        self.digests = digests
        self.ending = b""

    def bring(self) -> None:
        whole, part = (self.blobs / digest.replace(":", "-") for digest in self.digests[:2])
        whole.write_bytes(b"all")
        for ending in ("-partial", "-partial-0"):
            part.with_name(part.name + ending).write_bytes(b"part")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is of interest."""

    def do_GET(self) -> None:
        self.answer(b'{"models":[]}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bring()
        self.answer(b'{"status":"pulling manifest"}\n' + self.server.ending)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with Mirror(tmp_path) as mirror:
        mirror.registry.add(PHI, model_file(runtime_python()))
        yield mirror


@pytest.fixture
def server(tmp_path: Path, mirror: Mirror) -> Iterator[Server]:
    with Server(tmp_path / "models", list(mirror.registry.blobs)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def pull(server: Server, mirror: Mirror) -> dict[str, Any]:
    return run_module(
        "ollama_models",
        {
            "base_url": f"http://127.0.0.1:{server.server_port}",
            "models": [{"name": "phi", "ollama": {"tag": PHI}}],
            "models_path": str(server.blobs.parent),
            "registry_url": mirror.url,
            "retries": 1,
        },
    )


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        ("pull_disk_full", "is full; what was brought of it was removed. Make room there."),
        ("pull_tampered_blob", "The source holds a damaged file."),
        ("pull_fresh", "Put the nginx of ansible/roles/models/files/mirror.conf in front of it."),
    ],
)
def test_a_pull_that_failed_for_good_leaves_nothing(server: Server, mirror: Mirror, recording: str, words: str) -> None:
    server.ending = last_line(recording)
    result = pull(server, mirror)
    assert result["msg"].startswith("The model phi (phi:latest): ")
    assert words in result["msg"]
    assert list(server.blobs.iterdir()) == []


def test_a_registry_that_went_away_leaves_what_the_next_pull_goes_on_with(server: Server, mirror: Mirror) -> None:
    server.ending = last_line("pull_no_registry")
    [model] = pull(server, mirror)["models"]
    assert model["reason"].startswith(f"{mirror.url}: pull model manifest: ")
    assert len(list(server.blobs.glob("*-partial*"))) == 2


def test_a_server_that_broke_off_leaves_what_the_next_pull_goes_on_with(server: Server, mirror: Mirror) -> None:
    assert "ended the pull without a result" in pull(server, mirror)["msg"]
    assert len(list(server.blobs.glob("*-partial*"))) == 2
