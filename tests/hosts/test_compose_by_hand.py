"""The hub's compose file without Ansible, as litellm_hub/README.md tells people to use it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosts.machine import build_images, engine_answers
from tests.support.lab import ROOT, Lab, free_ports, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0 or not engine_answers(), reason="needs root, a Docker engine and debootstrap"),
]


@dataclass
class Hub:
    """A copy of litellm_hub/ with an .env of its own: its folder deploy/."""

    folder: Path
    name: str
    port: int
    master_key: str

    def compose(self, *words: str) -> str:
        done = subprocess.run(
            ["docker", "compose", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def chat(self, key: str) -> dict:
        body = {"model": "smollm2", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def rows(self) -> int:
        query = "SELECT count(*) FROM lab.usage_log WHERE status = 'success'"
        return int(self.compose("exec", "-T", "database", "psql", "-U", "postgres", "-d", "litellm", "-Atc", query))


@pytest.fixture(scope="module")
def hub(ollama: Lab, lab_folder: Path) -> Iterator[Hub]:
    """A hub by hand, in front of the lab's runtime; the role `docker` has brought compose before."""
    images = build_images()
    gateway, database = images.values()
    package = lab_folder / "by-hand/litellm_hub"
    copy = package / "deploy"
    shutil.copytree(ROOT / "litellm_hub", package, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    shutil.copy(ollama.home / "config/gateway.yaml", copy / "gateway.yaml")
    (copy / "gateway.yaml").chmod(0o644)
    port, postgres = free_ports(2)
    key = f"sk-{secrets.token_hex(32)}"
    name = f"byhand-{os.getpid()}"
    settings = {
        "POSTGRES_PASSWORD": secrets.token_hex(32),
        "POSTGRES_READER_PASSWORD": secrets.token_hex(32),
        "POSTGRES_REFRESHER_PASSWORD": secrets.token_hex(32),
        "LITELLM_MASTER_KEY": key,
        "LITELLM_SALT_KEY": f"sk-{secrets.token_hex(32)}",
        "LAB_NAME": name,
        "HUB_PORT": str(port),
        "POSTGRES_PORT": str(postgres),
    }
    lines = (copy / ".env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert set(settings) <= set(names), "the example names whatever must be filled in"
    filled = [
        f"{left}={settings.pop(left)}" if left in settings else line for left, line in zip(names, lines, strict=True)
    ]
    extra = [f"LITELLM_IMAGE={gateway}", f"POSTGRES_IMAGE={database}"]
    extra.append(f"RUNTIME_API_KEY={ollama.secrets['RUNTIME_API_KEY']}")
    (copy / ".env").write_text("\n".join([*filled, *extra]) + "\n")
    made = Hub(copy, name, port, key)
    try:
        made.compose("up", "-d", "--wait")
        yield made
    finally:
        made.compose("down", "-v")


def test_it_answers_logs_and_refuses_a_wrong_key(hub: Hub) -> None:
    assert hub.chat(hub.master_key)["choices"]
    wait_until(lambda: hub.rows() == 1, 30, "usage row")
    with pytest.raises(urllib.error.HTTPError) as refused:
        hub.chat("sk-wrong")
    assert refused.value.code == 401


def test_down_and_up_keep_the_data(hub: Hub) -> None:
    before = hub.rows()
    hub.compose("down")
    hub.compose("up", "-d", "--wait")
    assert hub.rows() == before
    assert hub.chat(hub.master_key)["choices"]
