"""What Molecule's verify step asks of the lab in its host: real requests, what can be reached, what survives."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field

import pytest

from tests.hosts.machine import Machine, docker
from tests.hosts.scenario import NAME
from tests.support.lab import wait_until

HOME = "/opt/genailabs"
CHAT = {"model": "smollm2", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
OWN_PORTS = (4100, 5433, 8888, 11434)
COMPOSE = f"docker compose --env-file {HOME}/hub.env"
# Runs on the host: sends completions in turn until it is told to stop, and says how many were answered whole.
LOAD = """
import json, os, sys, urllib.request
key, stop = sys.argv[1:]
body = {"model": "smollm2", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
answered = number = 0
while not os.path.exists(stop):
    number += 1
    body["stream"] = number % 2 == 0
    request = urllib.request.Request("http://127.0.0.1:4100/v1/chat/completions", json.dumps(body).encode(),
        {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
    try:
        text = urllib.request.urlopen(request, timeout=60).read()
    except OSError:
        continue
    answered += (b"[DONE]" in text and b'"error"' not in text) if body["stream"] else b"finish_reason" in text
    print(answered, flush=True)
"""


HOST = Machine(NAME)
run = HOST.run


def query(sql: str) -> str:
    """Ask the lab's database as its administrator."""
    command = f"{COMPOSE} exec -T database psql -U postgres -d litellm -Atc"
    return run("sh", "-c", f'cd {HOME}/lib/litellm_hub/deploy && {command} "$0"', sql).strip()


def post(path: str, body: dict[str, object], key: str) -> tuple[int, str]:
    """A request to the hub from the host."""
    return HOST.ask(4100, path, body, key)


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    return HOST.read_env(f"{HOME}/secrets.env")


@pytest.fixture(scope="module")
def key(secrets: dict[str, str]) -> str:
    return secrets["NOTEBOOK_API_KEY"]


def whole(answer: tuple[int, str]) -> bool:
    return answer[0] == 200 and "finish_reason" in answer[1]


def test_a_completion_comes_and_leaves_a_row(key: str) -> None:
    before = int(query("SELECT count(*) FROM lab.usage_log"))
    assert whole(post("/v1/chat/completions", CHAT, key))
    wait_until(lambda: int(query("SELECT count(*) FROM lab.usage_log")) == before + 1, 30, "usage row")


def test_every_model_of_the_catalogue_answers(key: str) -> None:
    for model in ("tinyllama", "qwen2.5", "phi", "smollm2", "qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"):
        assert whole(post("/v1/chat/completions", CHAT | {"model": model}, key)), model


def test_a_wrong_key_is_refused() -> None:
    assert post("/v1/chat/completions", CHAT, "sk-wrong")[0] == 401


def test_services_belong_to_systemd_and_have_accounts_of_their_own() -> None:
    units = run("systemctl", "list-units", "--plain", "--no-legend", "--state=running", "genailabs*")
    names = {line.split()[0] for line in units.splitlines()}
    assert {"genailabs-runtime.service", "genailabs-jupyterlab.service"} <= names
    users = {name: run("systemctl", "show", "--value", "-p", "User", name).strip() for name in names}
    assert users["genailabs-runtime.service"] == "genailab-runtime"
    assert users["genailabs-jupyterlab.service"] == "genailab-notebook"
    assert "root" not in users.values()
    assert "" not in users.values()


def test_secrets_are_closed() -> None:
    modes = run("stat", "-c", "%a %U %n", f"{HOME}/secrets.env", f"{HOME}/hub.env", f"{HOME}/notebook.env")
    assert [line.split()[:2] for line in modes.splitlines()] == [
        ["600", "genailab"],
        ["600", "genailab"],
        ["600", "genailab-notebook"],
    ]
    arguments = run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert not [name for name, value in HOST.read_env(f"{HOME}/secrets.env").items() if value in arguments]


def test_containers_have_no_more_rights_than_they_need() -> None:
    for name in ("gateway", "database", "usage"):
        shown = json.loads(run("docker", "inspect", f"genailabs-{name}-1"))[0]
        host = shown["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["Memory"] > 0
        assert shown["Config"]["User"] == run("sh", "-c", "echo $(id -u genailab):$(id -g genailab)").strip()
        assert "@sha256:" in shown["Config"]["Image"]
        assert host["NetworkMode"] == "host"


def test_neighbours_reach_nothing() -> None:
    address = HOST.address
    for port in OWN_PORTS:
        assert not reached(address, port), f"{address}:{port}"
    # What is open is found in the same way.
    opened = subprocess.Popen(["docker", "exec", NAME, "timeout", "60", "python3", "-m", "http.server", "9999"])
    wait_until(lambda: reached(address, 9999), 20, "open port")
    opened.terminate()


def reached(address: str, port: int) -> bool:
    probe = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
    return subprocess.run(["python3", "-c", probe], capture_output=True, check=False).returncode == 0


@dataclass
class Load:
    """Requests in turn from the host, with a key of their own."""

    secrets: dict[str, str]
    alias: str
    answered: int = 0
    thread: threading.Thread | None = None
    key: str = field(default="", init=False)

    def __enter__(self) -> Load:
        body: dict[str, object] = {"key_alias": self.alias}
        self.key = json.loads(post("/key/generate", body, self.secrets["LITELLM_MASTER_KEY"])[1])["key"]
        run("rm", "-f", "/root/stop")
        self.thread = threading.Thread(target=self.send)
        self.thread.start()
        self.wait_for(5)
        return self

    def send(self) -> None:
        command = ["docker", "exec", "-i", NAME, "python3", "-", self.key, "/root/stop"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(LOAD)
            process.stdin.close()
            for line in process.stdout:
                self.answered = int(line)

    def wait_for(self, more: int) -> None:
        """Wait until that many more requests were answered."""
        aim = self.answered + more
        wait_until(lambda: self.answered >= aim, 240, f"{more} further answers")

    def __exit__(self, *_exception: object) -> None:
        run("touch", "/root/stop")
        assert self.thread
        self.thread.join()

    def check(self) -> None:
        """Each answered request left one row, and the key's spend is their sum."""
        rows = f"SELECT count(*) FROM lab.usage_log WHERE key_alias = '{self.alias}' AND status = 'success'"
        wait_until(lambda: int(query(rows)) >= self.answered, 60, f"{self.answered} rows")
        spend = (
            'SELECT abs(k.spend - s.sum) < 1e-9 FROM "LiteLLM_VerificationToken" k, (SELECT sum(spend) FROM '
            f"lab.usage_log WHERE key_alias = '{self.alias}') s WHERE k.key_alias = '{self.alias}'"
        )
        wait_until(lambda: query(spend) == "t", 30, "key's spend equal to the sum of its rows")
        print(f"{self.alias}: {self.answered} answered, {query(rows)} rows")
        assert int(query(rows)) == self.answered


def test_down_and_up_and_a_restarted_engine_lose_nothing(secrets: dict[str, str]) -> None:
    with Load(secrets, "restarts") as load:
        run("sh", "-c", f"cd {HOME}/lib/litellm_hub/deploy && {COMPOSE} down && {COMPOSE} up -d --wait")
        load.wait_for(5)
        run("systemctl", "restart", "docker")
        load.wait_for(5)
    load.check()


def test_a_stopped_ollama_gives_clear_errors_and_recovers(key: str) -> None:
    run("systemctl", "stop", "genailabs-runtime")
    for _ in range(10):
        status, text = post("/v1/chat/completions", CHAT, key)
        assert status >= 500, text
        assert "smollm2" in text
    run("systemctl", "start", "genailabs-runtime")
    wait_until(lambda: whole(post("/v1/chat/completions", CHAT, key)), 60, "an answer again")


def test_a_reboot_loses_nothing(secrets: dict[str, str], key: str) -> None:
    with Load(secrets, "reboot") as load:
        load.wait_for(3)
    docker("restart", "-t", "60", NAME)
    HOST.wait_booted()
    wait_until(lambda: whole_or_down(key), 240, "an answer after the reboot")
    load.check()


def whole_or_down(key: str) -> bool:
    try:
        return whole(post("/v1/chat/completions", CHAT, key))
    except (AssertionError, ValueError, urllib.error.URLError):  # nothing listens yet
        return False
