"""The double of Ollama answers the recorded requests of the real one in the recorded words."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.mirror import Faults, Mirror
from tests.doubles.ollama import Ollama
from tests.doubles.ollama_store import RECORDINGS, recorded
from tests.support.lab import free_ports

# The models that the recordings ask for, wherever they came from.
THERE = ("smollm2:latest", "alias:latest", "tinyllama:1.1b")
# Values under these keys are the same on every machine; of all others the type counts.
STABLE = {"status", "done", "done_reason", "role", "format", "family", "families", "capabilities", "version", "error"}


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with Mirror(tmp_path) as mirror:
        mirror.registry.add("smollm2:135m")
        yield mirror


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[Ollama]:
    with Ollama(tmp_path / "models") as server:
        yield server


@pytest.fixture
def there(ollama: Ollama, mirror: Mirror) -> Ollama:
    """A server that has the recordings' models."""
    for name in THERE:
        mirror.registry.manifests[name] = mirror.registry.manifests["smollm2:135m"]
        mirror.registry.place(name, ollama.models)
    return ollama


def shape(value: Any, key: str = "") -> Any:
    """The value with everything that differs from run to run replaced by its type."""
    if isinstance(value, dict):
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list) and key not in STABLE:
        return [shape(item) for item in value]
    return value if key in STABLE or value is None else type(value).__name__


def shapes(lines: list[str], hosts: dict[str, str]) -> list[Any]:
    """The lines' shapes, each run of equal ones once, as only the pace of a download tells how many there are."""
    found: list[Any] = []
    for line in lines:
        for here, recording in hosts.items():
            line = line.replace(here, recording)
        try:
            read = json.loads(line)
        except ValueError:
            read = line
        if isinstance(read, dict) and "digest" in read:
            read["status"] = "pulling"
        if shape(read) not in found[-1:]:
            found.append(shape(read))
    return found


def replay(name: str, ollama: Ollama, hosts: dict[str, str] | None = None) -> None:
    """Send a recorded request, with the hosts of this test, and compare the answer with the recorded one."""
    request = json.loads((RECORDINGS / f"{name}.json").read_text())["request"]
    body = json.dumps(request.get("body"))
    for here, recording in (hosts or {}).items():
        body = body.replace(recording, here)
    connection = http.client.HTTPConnection("127.0.0.1", ollama.server_port, timeout=30)
    connection.request(request["method"], request["path"], body if "body" in request else None)
    answer = connection.getresponse()
    found = answer.read().decode().splitlines()
    connection.close()
    status, kind, lines = recorded(name)
    assert (answer.status, answer.getheader("Content-Type") or "") == (status, kind)
    assert shapes(found, hosts or {}) == shapes([line.strip() for line in lines if line], {})


@pytest.mark.parametrize("name", ["root", "version", "tags_empty", "unknown_path", "ps_after_unload"])
def test_an_empty_server_answers_as_recorded(name: str, ollama: Ollama) -> None:
    replay(name, ollama)


@pytest.mark.parametrize("name", ["chat_unknown_model", "pull_default_registry_unreachable"])
def test_what_is_not_to_be_had_is_refused_as_recorded(name: str, ollama: Ollama) -> None:
    replay(name, ollama)


@pytest.mark.parametrize(
    "name",
    ["chat_stream", "chat_nostream", "generate_stream", "chat_tools_unsupported", "show", "load", "unload", "copy"],
)
def test_a_model_answers_as_recorded(name: str, there: Ollama) -> None:
    replay(name, there)


def test_loading_and_deleting_show_in_the_recorded_lists(there: Ollama) -> None:
    replay("load", there)
    replay("ps_loaded", there)
    replay("delete", there)
    assert "alias:latest" not in there.store.names()
    replay("unload", there)
    replay("ps_after_unload", there)


def asked(mirror: Mirror) -> dict[str, Any]:
    """The body of a pull from the mirror."""
    return {"model": f"127.0.0.1:{mirror.server_port}/library/smollm2:135m", "insecure": True}


def test_a_file_that_is_missing_or_cut_is_refused_and_repaired_or_not_as_recorded(
    there: Ollama, mirror: Mirror
) -> None:
    hosts = {f"127.0.0.1:{mirror.server_port}": "127.0.0.1:5001"}
    blob = max(there.store.blobs.iterdir(), key=lambda path: path.stat().st_size)
    whole = blob.stat().st_size
    blob.write_bytes(blob.read_bytes()[:1000])
    replay("chat_truncated_blob", there)
    assert there.call("POST", "/api/pull", asked(mirror))[-1] == {"status": "success"}
    assert blob.stat().st_size == 1000, "Ollama does not look into what it has"
    blob.unlink()
    replay("chat_missing_blob", there)
    replay("pull_repairs_missing_blob", there, hosts)
    assert blob.stat().st_size == whole


def test_a_pull_fails_as_recorded(ollama: Ollama, mirror: Mirror) -> None:
    replay("pull_no_registry", ollama, {f"127.0.0.1:{free_ports(1)[0]}": "127.0.0.1:5999"})
    hosts = {f"127.0.0.1:{mirror.server_port}": "127.0.0.1:5000"}
    replay("pull_unknown_model", ollama, hosts)
    mirror.faults = Faults(no_redirect=True)
    assert ollama.call("POST", "/api/pull", asked(mirror))[-1] == json.loads(recorded("pull_fresh")[2][-1])
    mirror.faults = Faults(tampered=[max(mirror.registry.blobs, key=lambda digest: len(mirror.registry.blobs[digest]))])
    words = ollama.call("POST", "/api/pull", asked(mirror))[-1]["error"]
    assert words.partition("want")[0] in recorded("pull_tampered_blob")[2][-1]
    assert ollama.store.names() == []


def test_a_pull_goes_on_where_a_broken_one_ended(ollama: Ollama, mirror: Mirror) -> None:
    mirror.faults = Faults(break_after=1_000_000)
    assert "max retries exceeded" in ollama.call("POST", "/api/pull", asked(mirror))[-1]["error"]
    assert ollama.call("POST", "/api/pull", asked(mirror))[-1] == {"status": "success"}
    starts = [int(request.partition("bytes=")[2].partition("-")[0] or 0) for request in mirror.requests]
    assert max(starts) > 900_000
