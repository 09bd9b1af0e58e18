"""The roles `ollama` and `models` against the double, served by a local mirror."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.build_ollama_archive import build
from tests.doubles.mirror import Faults, Mirror
from tests.doubles.ollama_process import free_port
from tests.doubles.runtime import model_file, runtime_python

ROOT = Path(__file__).parents[2]
ENTRIES = [
    {"name": "tinyllama", "context": 2048, "ollama": {"tag": "tinyllama:1.1b"}},
    {"name": "phi", "context": 2048, "ollama": {"tag": "phi"}},
]
NEW = {"name": "qwen2.5", "context": 2048, "ollama": {"tag": "qwen2.5:0.5b"}}


ROLES = str(Path(__file__).with_name("role_ollama"))


def service_python() -> str:
    """An interpreter that the services' account can run."""
    return "/usr/bin/python3" if os.geteuid() == 0 else sys.executable


@dataclass
class Play:
    """What a run of the playbook came to."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        return int(re.findall(r"changed=(\d+)", self.output)[-1])


@dataclass
class Site:
    """A lab of Ollama alone, and the mirror that it comes from."""

    home: Path
    mirror: Mirror
    model: Path
    port: int = field(default_factory=free_port)

    def play(self, *options: str, playbook: Path | None = None, **variables: Any) -> Play:
        """Run the roles with what they stand on."""
        playbook = playbook or Path(f"{ROLES}.yml")
        settings = {
            "lab_home": str(self.home),
            "runtime_port": self.port,
            "lab_models": ENTRIES,
            "role_test_python": service_python(),
            "ollama_download_url": f"{self.mirror.url}/v{{{{ ollama_version }}}}",
            "ollama_registry_url": self.mirror.url,
            **variables,
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), *options]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        command += ["-e", json.dumps(settings)]
        done = subprocess.run(
            command, cwd=ROOT / "ansible", env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        # Ansible breaks long messages over lines.
        return Play(done.returncode, " ".join((done.stdout + done.stderr).split()))

    def roles(self, *options: str, **variables: Any) -> Play:
        """Run the roles alone, on what a run before has made ready for them."""
        return self.play(*options, role_test_parts=["ollama", "models"], **variables)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, json.dumps(body) if body else None)
        return json.loads(connection.getresponse().read())

    def digests(self) -> dict[str, str]:
        return {model["name"]: model["digest"] for model in self.request("GET", "/api/tags")["models"]}


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    python = runtime_python(folder)
    build(folder / "mirror", python)
    with Mirror(folder / "mirror") as mirror:
        model = model_file(python)
        for name in ("tinyllama:1.1b", "phi:latest", "qwen2.5:0.5b"):
            mirror.registry.add(name, model)
        site = Site(folder / "lab", mirror, model)
        checked = site.play("--check")
        assert checked.code == 0, checked.output
        assert not site.home.exists()
        first = site.play()
        assert first.code == 0, first.output
        assert "tinyllama:1.1b: pulling from" in first.output, first.output
        assert "available=tinyllama,phi missing=" in first.output
        yield site
        stopped = site.play(playbook=ROOT / "ansible" / "down.yml")
        assert stopped.code == 0, stopped.output


@pytest.fixture(autouse=True)
def no_faults(site: Site) -> Iterator[None]:
    yield
    site.mirror.faults = Faults()


def test_models_have_the_catalogues_tags_and_answer(site: Site) -> None:
    assert sorted(site.digests()) == ["phi:latest", "tinyllama:1.1b"]
    body = {"model": "phi", "prompt": "Say hi.", "stream": False, "options": {"num_predict": 3}}
    assert site.request("POST", "/api/generate", body)["done_reason"] == "length"


def test_nothing_runs_as_root(site: Site) -> None:
    listening = [
        path
        for path in Path("/proc").glob("[0-9]*")
        if _environment(path).get("LAB_SERVICE", "").startswith(f"{site.home}:")
    ]
    assert listening
    if os.geteuid() == 0:
        assert 0 not in {path.stat().st_uid for path in listening}


def _environment(process: Path) -> dict[str, str]:
    try:
        pairs = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_a_second_run_changes_nothing_and_asks_nobody(site: Site) -> None:
    site.mirror.requests.clear()
    again = site.play()
    assert (again.code, again.changed) == (0, 0), again.output
    assert site.mirror.requests == []


def test_an_update_is_pulled_when_asked_for_alone(site: Site) -> None:
    before = site.digests()
    published = site.mirror.registry.add("phi:latest", site.model, context=1024)
    assert site.roles().changed == 0
    assert site.digests() == before
    updated = site.roles(models_update=True)
    assert updated.code == 0, updated.output
    assert site.digests() == {**before, "phi:latest": published}
    assert site.roles(models_update=True).changed == 0


def test_a_wrong_checksum_is_refused_and_leaves_the_running_version_alone(site: Site) -> None:
    before = site.request("GET", "/api/version")
    build(site.mirror.root, runtime_python(site.home.parent), version="9.9.9")
    site.mirror.faults = Faults(wrong_checksums=True)
    failed = site.roles(ollama_version="9.9.9")
    assert failed.code != 0
    assert "differs from its published checksum" in failed.output
    assert not (site.home / "ollama" / "9.9.9").exists()
    assert list((site.home / "downloads").iterdir()) == []
    assert site.request("GET", "/api/version") == before
    assert site.roles().changed == 0


def test_a_release_without_checksums_is_refused(site: Site) -> None:
    site.mirror.faults = Faults(missing=["sha256sum.txt"])
    failed = site.roles(ollama_version="9.9.8")
    assert failed.code != 0
    assert f"{site.mirror.url}/v9.9.8/sha256sum.txt does not answer: HTTP Error 404" in failed.output


def test_an_unknown_model_names_the_entry(site: Site) -> None:
    failed = site.roles(lab_models=[*ENTRIES, {"name": "typo", "context": 2048, "ollama": {"tag": "tinylama:1.1b"}}])
    assert failed.code != 0
    assert "The model typo (tinylama:1.1b): " in failed.output
    assert "has no model of that name and tag. Correct ollama.tag" in failed.output


def test_a_model_whose_source_is_silent_is_reported_and_the_others_serve(site: Site) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    run = site.roles(lab_models=[*ENTRIES, NEW], ollama_registry_url=nobody)
    assert (run.code, run.changed) == (0, 0), run.output
    assert "available=tinyllama,phi missing=qwen2.5" in run.output
    assert f"qwen2.5 is not available from here: {nobody} does not answer" in run.output


def test_a_stalled_download_is_cut_and_resumed(site: Site) -> None:
    blob = max(site.mirror.registry.blobs, key=lambda digest: isinstance(site.mirror.registry.blobs[digest], Path))
    path = site.home / "models" / "ollama" / "blobs" / blob.replace(":", "-")
    os.truncate(path, 1_000_000)
    site.mirror.faults = Faults(freeze_blob=4, freeze_after=20_000_000)
    run = site.roles(models_stall_timeout=2)
    assert run.code == 0, run.output
    assert "tinyllama:1.1b: attempt 2: no further byte in 2 s" in run.output
    assert path.stat().st_size == site.model.stat().st_size
    assert site.roles().changed == 0


def test_a_version_that_does_not_start_is_taken_back(site: Site) -> None:
    build(site.mirror.root, runtime_python(site.home.parent), version="9.9.7", broken=True)
    failed = site.roles(ollama_version="9.9.7", ollama_start_timeout=5)
    assert failed.code != 0
    assert "Ollama 9.9.7 failed its health check, so Ollama 0.32.15 was put back." in failed.output
    assert sorted(site.digests()) == ["phi:latest", "tinyllama:1.1b"]
    assert [path.name for path in (site.home / "ollama").iterdir()] == ["0.32.15"]
    assert site.roles().changed == 0


def test_a_new_version_replaces_the_running_one(site: Site) -> None:
    build(site.mirror.root, runtime_python(site.home.parent), version="9.9.9")
    updated = site.roles(ollama_version="9.9.9")
    assert updated.code == 0, updated.output
    assert sorted(path.name for path in (site.home / "ollama").iterdir()) == ["0.32.15", "9.9.9"]
    assert site.roles(ollama_version="9.9.9").changed == 0
    assert sorted(site.digests()) == ["phi:latest", "tinyllama:1.1b"]


def test_files_bring_a_model_where_no_network_is_and_what_nobody_wants_goes_when_asked(site: Site) -> None:
    bundle = site.home.parent / "bundle"
    site.mirror.registry.place("qwen2.5:0.5b", bundle)
    settings = {
        "lab_models": [NEW, ENTRIES[0]],
        "models_files": str(bundle),
        "models_prune": True,
        "models_verify": True,
        "ollama_registry_url": f"http://127.0.0.1:{free_port()}",
    }
    run = site.roles(**settings)
    assert run.code == 0, run.output
    assert "available=qwen2.5,tinyllama missing=" in run.output
    assert "phi:latest was removed: lab_models does not name it" in run.output
    assert sorted(site.digests()) == ["qwen2.5:0.5b", "tinyllama:1.1b"]
    assert [model["name"] for model in site.request("GET", "/api/ps")["models"]] == ["qwen2.5:0.5b"]
    models = site.home / "models" / "ollama"
    assert {path.owner() for path in models.rglob("*")} == {models.owner()}
    assert site.roles(**settings).changed == 0
