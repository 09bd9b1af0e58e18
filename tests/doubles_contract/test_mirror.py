"""The mirror and the release that it serves."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.build_ollama_archive import build, host_architecture
from tests.doubles.mirror import Faults, Mirror


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 1000)
    with Mirror(tmp_path) as mirror:
        yield mirror


def get(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_range_is_answered_with_that_part_alone(served: Mirror) -> None:
    assert get(f"{served.url}/file.bin", Range="bytes=2-4") == (206, bytes([2, 3, 4]))
    assert get(f"{served.url}/file.bin", Range="bytes=255999-") == (206, bytes([255]))
    assert get(f"{served.url}/file.bin", Range="bytes=256000-")[0] == 416


def test_nothing_outside_the_root_is_served(served: Mirror) -> None:
    assert get(f"{served.url}/../../etc/passwd")[0] == 404
    assert get(f"{served.url}/%2e%2e/%2e%2e/etc/passwd")[0] == 404


def test_faults_can_be_set_while_it_runs(served: Mirror) -> None:
    body = json.dumps({"missing": ["file.bin"]}).encode()
    urllib.request.urlopen(f"{served.url}/_control/faults", body).close()
    assert served.faults == Faults(missing=["file.bin"])
    assert get(f"{served.url}/file.bin")[0] == 404
    assert json.loads(get(f"{served.url}/_control/requests")[1]) == ["GET /file.bin"]


def test_a_blob_is_redirected_to_the_other_host_name(served: Mirror, gguf: Path) -> None:
    served.registry.add("smollm2:135m", gguf)
    manifest = json.loads(get(f"{served.url}/v2/library/smollm2/manifests/135m")[1])
    path = f"/v2/library/smollm2/blobs/{manifest['config']['digest']}"

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            """Follow nothing."""

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(Stay).open(f"{served.url}{path}")
    assert caught.value.code == 307
    assert caught.value.headers["Location"] == f"http://localhost:{served.port}{path}"
    caught.value.close()


def test_a_release_looks_like_ollamas(tmp_path: Path) -> None:
    release = build(tmp_path, Path("/opt/some where/python"))
    name = f"ollama-linux-{host_architecture()}.tar.zst"
    archive = release / name
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"{digest}  ./{name}" in (release / "sha256sum.txt").read_text().splitlines()
    assert archive.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    if shutil.which("zstd"):
        listing = subprocess.run(["tar", "--zstd", "-tf", archive], check=True, capture_output=True, text=True).stdout
        assert {"bin/ollama", "lib/ollama/llama-server"} <= set(listing.split())


def test_the_mirror_runs_from_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.doubles.mirror", "--root", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith(f"serving {tmp_path} at http://127.0.0.1:")
        finally:
            process.terminate()
