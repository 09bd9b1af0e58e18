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

from tests.doubles.build_ollama_archive import build, publish, service_python
from tests.doubles.mirror import Faults, Mirror
from tests.support.lab import Lab, free_ports

ROOT = Path(__file__).parents[2]
ENTRIES = [
    {"name": "tinyllama", "context": 2048, "ollama": {"tag": "tinyllama:1.1b"}},
    {"name": "phi", "context": 2048, "ollama": {"tag": "phi"}},
]
NEW = {"name": "qwen2.5", "context": 2048, "ollama": {"tag": "qwen2.5:0.5b"}}


ROLES = str(Path(__file__).with_name("role_ollama"))


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
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def play(self, *options: str, playbook: Path | None = None, **variables: Any) -> Play:
        """Run the roles with what they stand on."""
        playbook = playbook or Path(f"{ROLES}.yml")
        settings = {
            "lab_home": str(self.home),
            "lab_source": str(ROOT),
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
    build(folder / "mirror")
    with Mirror(folder / "mirror") as mirror:
        for name in ("tinyllama:1.1b", "phi:latest", "qwen2.5:0.5b"):
            mirror.registry.add(name)
        site = Site(folder / "lab", mirror)
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
    processes = Lab(site.home).processes()
    assert processes
    if os.geteuid() == 0:
        assert 0 not in {Path(f"/proc/{process}").stat().st_uid for process in processes}


def test_a_second_run_changes_nothing_and_asks_nobody(site: Site) -> None:
    site.mirror.registry.add("phi:latest", context=1024)
    before = site.digests()
    site.mirror.requests.clear()
    again = site.play()
    assert (again.code, again.changed) == (0, 0), again.output
    assert site.mirror.requests == []
    assert site.digests() == before


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(wrong_checksums=True), "did not match 0000"),
        (Faults(missing=["sha256sum.txt"]), "/v9.9.8/sha256sum.txt HTTP Error 404"),
        (Faults(), "bin/ollama) is absent"),
    ],
    ids=["another checksum", "no checksum", "no Ollama in it"],
)
def test_a_release_that_is_not_sound_is_refused_and_leaves_nothing(site: Site, faults: Faults, words: str) -> None:
    publish(site.mirror.root, "9.9.8", {"readme": b""})
    site.mirror.faults = faults
    failed = site.roles(ollama_version="9.9.8")
    assert failed.code != 0
    assert "Ollama 9.9.8 cannot be installed: " in failed.output
    assert words in failed.output
    assert [path.name for path in (site.home / "ollama").iterdir()] == ["0.32.15"]
    assert list((site.home / "downloads").glob("ollama*")) == []
    assert site.request("GET", "/api/version") == {"version": "0.32.15"}


def test_a_model_whose_source_is_silent_is_reported_and_the_others_serve(site: Site) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    run = site.roles(lab_models=[*ENTRIES, NEW], ollama_registry_url=nobody)
    assert (run.code, run.changed) == (0, 0), run.output
    assert "available=tinyllama,phi missing=qwen2.5" in run.output
    assert f"qwen2.5 is not available from here: {nobody} does not answer" in run.output


def test_a_version_that_does_not_start_is_taken_back(site: Site) -> None:
    build(site.mirror.root, "9.9.7", broken=True)
    failed = site.roles(ollama_version="9.9.7", ollama_start_timeout=5)
    assert failed.code != 0
    assert "Ollama 9.9.7 failed its health check, so Ollama 0.32.15 was put back." in failed.output
    assert sorted(site.digests()) == ["phi:latest", "tinyllama:1.1b"]
    assert [path.name for path in (site.home / "ollama").iterdir()] == ["0.32.15"]


def test_a_new_version_serves_and_files_bring_a_model_where_no_network_is(site: Site) -> None:
    build(site.mirror.root, "9.9.9")
    bundle = site.home.parent / "bundle"
    site.mirror.registry.place("qwen2.5:0.5b", bundle)
    settings = {
        "ollama_version": "9.9.9",
        "lab_models": [NEW, ENTRIES[0]],
        "models_files": str(bundle),
        "ollama_registry_url": f"http://127.0.0.1:{free_ports(1)[0]}",
    }
    run = site.roles(**settings)
    assert run.code == 0, run.output
    assert sorted(path.name for path in (site.home / "ollama").iterdir()) == ["0.32.15", "9.9.9"]
    assert any("/9.9.9/" in command for command in Lab(site.home).processes().values())
    assert "available=qwen2.5,tinyllama missing=" in run.output
    assert {"qwen2.5:0.5b", "tinyllama:1.1b"} < site.digests().keys()
    assert [model["name"] for model in site.request("GET", "/api/ps")["models"]] == ["qwen2.5:0.5b"]
    models = site.home / "models" / "ollama"
    assert {path.owner() for path in models.rglob("*")} == {models.owner()}
    assert site.roles(**settings).changed == 0
