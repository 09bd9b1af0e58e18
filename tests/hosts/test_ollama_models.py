"""The module `lab_models` against the double: sources, disk, healing, warm-up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.mirror import Faults, Mirror, digest_of, weights
from tests.doubles.ollama import Ollama
from tests.support.lab import free_ports
from tests.support.modules import run_module

PHI, TINY = "phi:latest", "tinyllama:1.1b"


def nobody() -> str:
    """An address where nothing answers."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@dataclass
class Lab:
    """A server, the registry of its models, and the module between them."""

    server: Ollama
    mirror: Mirror
    log: Path

    @property
    def blobs(self) -> Path:
        return self.server.models / "blobs"

    def run(self, *tags: str, check: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module for this server and registry."""
        arguments = {
            "base_url": self.server.url,
            "models": [{"name": tag.partition(":")[0], "ollama": {"tag": tag}} for tag in tags],
            "models_path": str(self.server.models),
            "registry_url": self.mirror.url,
            "stall_timeout": 20,
            "retries": 2,
            "retry_pause": 0,
            "progress_log": str(self.log),
            **options,
        }
        return run_module("lab_models", arguments, check=check)

    def names(self, path: str = "/api/tags") -> list[str]:
        return sorted(model["name"] for model in self.server.call("GET", path)[0]["models"])

    def files(self) -> list[str]:
        """The names of all blobs, and of what unfinished ones left."""
        return sorted(path.name for path in self.blobs.iterdir()) if self.blobs.exists() else []

    def weights(self) -> Path:
        """The largest file of the models."""
        return max(self.blobs.iterdir(), key=lambda path: path.stat().st_size)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Mirror(tmp_path) as mirror, Ollama(tmp_path / "server") as server:
        mirror.registry.add(PHI)
        mirror.registry.add(TINY, context=1024)
        yield Lab(server, mirror, tmp_path / "models.log")


@pytest.fixture
def bundle(lab: Lab, tmp_path: Path) -> Path:
    """Both models as files."""
    for name in (PHI, TINY):
        lab.mirror.registry.place(name, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def placed(lab: Lab) -> Lab:
    """A server that has both models."""
    for name in (PHI, TINY):
        lab.mirror.registry.place(name, lab.server.models)
    return lab


def test_files_become_models_without_any_network(lab: Lab, bundle: Path) -> None:
    result = lab.run(PHI, TINY, files=str(bundle), registry_url=nobody())
    assert result["changed"], result
    assert [model["available"] for model in result["models"]] == [True, True]
    assert lab.names() == [PHI, TINY]
    assert lab.files() == sorted(path.name for path in (bundle / "blobs").iterdir())
    assert lab.mirror.requests == []
    answer = lab.server.call("POST", "/api/generate", {"model": "phi", "prompt": "Hi.", "options": {"num_predict": 2}})
    assert answer[-1]["done"]
    assert not lab.run(PHI, TINY, files=str(bundle), registry_url=nobody())["changed"]


def test_a_model_that_the_files_lack_comes_from_the_registry(lab: Lab, bundle: Path) -> None:
    (bundle / "manifests" / "registry.ollama.ai" / "library" / "phi" / "latest").unlink()
    assert lab.run(PHI, TINY, files=str(bundle))["changed"]
    assert lab.names() == [PHI, TINY]
    assert {path for path in lab.mirror.requests if "manifests" in path} == {"GET /v2/library/phi/manifests/latest"}


def test_the_server_can_read_copied_files_whatever_the_umask(lab: Lab, bundle: Path) -> None:
    before = os.umask(0o077)
    try:
        assert lab.run(PHI, files=str(bundle))["code"] == 0
    finally:
        os.umask(before)
    made = [path for path in lab.server.models.rglob("*") if "phi" in str(path) or path.parent == lab.blobs]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o755}


def test_a_missing_or_tampered_file_is_named_and_leaves_nothing(lab: Lab, bundle: Path) -> None:
    weights = max((bundle / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    with weights.open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"tampered")
    tampered = lab.run(PHI, TINY, files=str(bundle))
    assert f"{weights} differs from its digest" in tampered["msg"]
    assert "Copy the bundle again" in tampered["msg"]
    weights.unlink()
    missing = lab.run(PHI, TINY, files=str(bundle))
    assert f"{weights} is missing" in missing["msg"]
    assert "The model phi (phi:latest)" in missing["msg"]
    assert (lab.names(), lab.files(), lab.mirror.requests) == ([], [], [])


def test_a_folder_that_is_no_models_folder_is_refused(lab: Lab, tmp_path: Path) -> None:
    assert "Correct models_files" in lab.run(PHI, files=str(tmp_path / "nothing"))["msg"]


@pytest.mark.parametrize("from_files", [True, False], ids=["files", "registry"])
def test_the_sizes_of_all_models_are_compared_with_the_disk_before_the_first_byte(
    lab: Lab, tmp_path: Path, from_files: bool
) -> None:
    share = int(shutil.disk_usage(tmp_path).free * 0.6)
    bundle = tmp_path / "bundle"
    for name, digit in ((PHI, "a"), (TINY, "b")):
        manifest = json.loads(lab.mirror.registry.manifests[name])
        manifest["layers"].append({"mediaType": "x", "digest": f"sha256:{64 * digit}", "size": share})
        lab.mirror.registry.manifests[name] = json.dumps(manifest).encode()
        if from_files:
            path = bundle / "manifests" / "registry.ollama.ai" / "library" / name.replace(":", "/")
            path.parent.mkdir(parents=True)
            path.write_bytes(lab.mirror.registry.manifests[name])
            for layer in [*manifest["layers"], manifest["config"]]:
                (bundle / "blobs").mkdir(exist_ok=True)
                with (bundle / "blobs" / layer["digest"].replace(":", "-")).open("wb") as file:
                    file.truncate(layer["size"])
    for check in (True, False):
        result = lab.run(PHI, TINY, check=check, **({"files": str(bundle)} if from_files else {}))
        assert result["code"] != 0
        assert result["msg"].startswith("phi, tinyllama: "), result
        assert "MB are free. Make room there, or take a model out of lab_models." in result["msg"]
    assert lab.files() == []
    assert not [path for path in lab.mirror.requests if "blobs" in path]


def test_a_tampered_download_is_tried_twice_and_leaves_nothing(lab: Lab) -> None:
    digest = digest_of(weights())
    lab.mirror.faults = Faults(tampered=[digest])
    result = lab.run(PHI)
    assert "digest mismatch" in result["msg"]
    assert "ollama_registry_url" in result["msg"]
    assert (lab.names(), lab.files()) == ([], [])
    assert len([path for path in lab.mirror.requests if digest in path]) == 4, "twice, each with its redirect"


def test_a_full_disk_is_named_and_given_back(lab: Lab) -> None:
    lab.server.puller.ends = "pull_disk_full"
    result = lab.run(PHI)
    assert result["msg"].startswith("The model phi (phi:latest): ")
    assert "is full; what was brought of it was removed. Make room there." in result["msg"]
    assert lab.files() == []


@pytest.mark.parametrize(
    ("recording", "words"),
    [("pull_no_registry", "connection refused"), ("pull_server_killed", "ended the pull without a result")],
    ids=["the registry went away", "the server broke off"],
)
def test_a_pull_that_was_interrupted_leaves_what_the_next_one_goes_on_with(
    lab: Lab, recording: str, words: str
) -> None:
    lab.server.puller.ends = recording
    assert words in json.dumps(lab.run(PHI))
    assert len(list(lab.blobs.glob("*-partial*"))) == 2


def test_a_registry_that_answers_files_itself_names_the_remedy(lab: Lab) -> None:
    lab.mirror.faults = Faults(no_redirect=True)
    assert "mirror.conf" in lab.run(PHI)["msg"]
    assert lab.files() == []


def test_a_stalled_download_keeps_what_it_has(lab: Lab) -> None:
    lab.mirror.faults = Faults(freeze=100)
    result = lab.run(PHI, stall_timeout=1, retries=0)
    assert result["code"] == 0
    assert result["models"] == [
        {"name": "phi", "available": False, "reason": f"{lab.mirror.url}: no further byte in 1 s"}
    ]
    assert [path for path in lab.blobs.glob("*-partial") if path.stat().st_blocks * 512 > 900_000]


def test_a_stalled_download_is_cut_and_resumed(lab: Lab) -> None:
    lab.mirror.faults = Faults(freeze=1.5)
    result = lab.run(PHI, stall_timeout=1)
    assert (result["changed"], lab.names()) == (True, [PHI]), result
    assert "attempt 2 in 0 s: no further byte in 1 s" in lab.log.read_text()
    starts = [request.partition("bytes=")[2].partition("-")[0] for request in lab.mirror.requests]
    assert "1048576" in starts, "it goes on where it was cut"


@pytest.mark.parametrize("status", ["429 Too Many Requests", "502 Bad Gateway"])
def test_a_registry_that_is_away_in_mid_pull_is_waited_for_and_keeps_what_it_brought(lab: Lab, status: str) -> None:
    lab.mirror.faults = Faults(break_after=2_000_000, status=int(status[:3]), away=2)
    result = lab.run(PHI, retries=4, retry_pause=0.01)
    assert (result["changed"], lab.names()) == (True, [PHI]), result
    log = lab.log.read_text()
    for attempt, pause in ((3, "0.02"), (4, "0.04")):
        assert f"attempt {attempt} in {pause} s: the registry answers {status}\n" in log
    starts = [request.partition("bytes=")[2].partition("-")[0] for request in lab.mirror.requests]
    assert "2031616" in starts, "it goes on where it was cut"


def test_a_registry_that_stays_away_costs_neither_the_lab_nor_what_it_brought(lab: Lab) -> None:
    lab.mirror.faults = Faults(break_after=2_000_000, away=99)
    result = lab.run(PHI)
    assert result["code"] == 0
    reason = f"{lab.mirror.url}: the registry answers 502 Bad Gateway"
    assert result["models"] == [{"name": "phi", "available": False, "reason": reason}]
    assert [path for path in lab.blobs.glob("*-partial") if path.stat().st_blocks * 512 > 1_900_000]


def test_a_model_that_the_registry_does_not_have_names_the_entry(placed: Lab) -> None:
    result = placed.run(TINY, "tinylama:1.1b")
    assert result["msg"].startswith("The model tinylama (tinylama:1.1b): "), result
    assert "has no model of that name and tag. Correct ollama.tag" in result["msg"]


def test_an_update_is_pulled_when_asked_for_alone(placed: Lab) -> None:
    published = placed.mirror.registry.add(PHI, context=2048)
    assert not placed.run(PHI, TINY)["changed"]
    assert placed.mirror.requests == []
    assert placed.run(PHI, TINY, update=True)["changed"]
    assert placed.server.store.facts(PHI)["digest"] == published
    assert not placed.run(PHI, TINY, update=True)["changed"]


def test_a_damaged_file_is_brought_again_and_not_answered_from_memory(placed: Lab) -> None:
    placed.server.call("POST", "/api/generate", {"model": TINY})
    os.truncate(placed.weights(), 1_000)
    without = placed.run(PHI, TINY, registry_url=nobody())
    assert not without["changed"]
    assert without["models"][0]["reason"].startswith("files of it are damaged or lost, and http://127.0.0.1:")
    assert placed.run(PHI, TINY)["changed"]
    assert len([path for path in placed.mirror.requests if placed.weights().name[7:] in path]) == 2, "brought once"
    assert placed.weights().read_bytes() == weights()
    assert placed.names("/api/ps") == [PHI], "the default model anew"
    assert not placed.run(PHI, TINY)["changed"]


def test_a_damaged_file_is_replaced_from_files(placed: Lab, bundle: Path) -> None:
    os.truncate(placed.weights(), 1_000)
    assert placed.run(PHI, TINY, files=str(bundle))["changed"]
    assert placed.weights().stat().st_size == len(weights())
    assert placed.mirror.requests == []


def test_the_mirrors_name_that_an_interrupted_run_left_is_removed(placed: Lab) -> None:
    mirrored = f"{placed.mirror.url.removeprefix('http://')}/library/{PHI}"
    placed.server.call("POST", "/api/copy", {"source": PHI, "destination": mirrored})
    assert placed.names() == sorted([PHI, TINY, mirrored])
    assert placed.run(PHI, TINY)["changed"]
    assert placed.names() == [PHI, TINY]


def test_the_first_model_is_loaded_and_that_is_no_change(placed: Lab) -> None:
    assert not placed.run("absent:1b", TINY, PHI, check=True, registry_url=nobody())["changed"]
    assert placed.names("/api/ps") == []
    assert not placed.run("absent:1b", TINY, PHI, registry_url=nobody())["changed"]
    assert placed.names("/api/ps") == [TINY]


def test_a_model_that_does_not_load_is_named(placed: Lab) -> None:
    with placed.weights().open("r+b") as file:
        file.write(b"not a model")
    result = placed.run(PHI)
    assert result["code"] != 0
    assert "The model phi (phi:latest) is there, but does not load" in result["msg"]
    assert f'curl -X DELETE {placed.server.url}/api/delete -d \'{{"model": "{PHI}"}}\'' in result["msg"]
