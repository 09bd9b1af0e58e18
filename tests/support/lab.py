"""A running lab as tests see it: its addresses, keys, files and processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[2]
TWIN = "smollm2-twin"  # the small model's second name in the test lab's catalogue
SERVICE_PROCESS = {
    "gateway": "hub/gateway",
    "database": "hub/database",
    "jupyterlab": "notebook/jupyterlab",
    "proxy": "notebook/proxy",
}


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Poll until `condition` holds; fail with `what` was waited for after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, consecutive ones, so that further model processes fit behind the first.

    They lie below those that the kernel gives to outgoing connections, one of which may take a port meanwhile.
    """
    while True:
        first = 20_000 + secrets.randbelow(12_000)  # the generator of `random` starts alike in all workers
        ports = list(range(first, first + count))
        if all(is_free(port) for port in ports):
            return ports


def answers(address: str, port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def is_free(port: int) -> bool:
    return not answers("127.0.0.1", port)


def read_env(path: Path) -> dict[str, str]:
    """Variables of a NAME=value file."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")


def playbook(
    name: str, variables: dict[str, object], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one of the project's playbooks as its users do."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), f"{name}.yml"]
    extra = ["-e", json.dumps(variables)] if variables else []
    settings = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "LITELLM_", "LAB_"))}
    return subprocess.run(
        [*command, *extra, *arguments],
        cwd=ROOT / "ansible",
        env=settings | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def catalogue() -> list[dict[str, Any]]:
    """The project's models but the large ones, and the small one under a second name: a lab in seconds."""
    text = (ROOT / "ansible/group_vars/all/models.yml").read_text()
    models: list[dict[str, Any]] = yaml.safe_load(text)["lab_models"]
    small = next(model for model in models if model["name"] == "smollm2")
    models = [model for model in models if "parts" not in model.get("llama_cpp", {})]
    return [*models, small | {"name": TWIN}]


def changes(run: subprocess.CompletedProcess[str]) -> int:
    """How many tasks a playbook run reports as changed."""
    found = re.search(r"changed=(\d+)", run.stdout)
    assert found, run.stdout + run.stderr
    return int(found[1])


@dataclass
class Lab:
    """One lab by its folder; everything else is read from there."""

    home: Path

    @property
    def secrets(self) -> dict[str, str]:
        return read_env(self.home / "secrets.env")

    @property
    def notebook_env(self) -> dict[str, str]:
        return read_env(self.home / "notebook.env")

    @property
    def hub_url(self) -> str:
        return self.notebook_env["LITELLM_BASE_URL"].removesuffix("/v1")

    @property
    def master_key(self) -> str:
        return self.secrets["LITELLM_MASTER_KEY"]

    @property
    def notebook_key(self) -> str:
        return self.notebook_env["LITELLM_API_KEY"]

    @property
    def database_url(self) -> str:
        return read_env(self.home / "config/gateway.env")["DATABASE_URL"]

    @property
    def reader_url(self) -> str:
        return self.notebook_env["LAB_DATABASE_URL"]

    @property
    def jupyter_url(self) -> str:
        settings = json.loads((self.home / "config/jupyter_server_config.json").read_text())["ServerApp"]
        return f"http://{settings['ip']}:{settings['port']}"

    @property
    def jupyter_token(self) -> str:
        return self.secrets["JUPYTER_TOKEN"]

    @property
    def variables(self) -> dict[str, object]:
        """What makes this lab differ from the default one, for another run of a playbook."""
        gateway = (self.home / "config/gateway.yaml").read_text()
        runtime = re.search(r"api_base: http://127\.0\.0\.1:(\d+)", gateway)
        assert runtime
        return {
            "lab_home": str(self.home),
            "hub_port": urlsplit(self.hub_url).port,
            "postgres_port": urlsplit(self.database_url).port,
            "jupyter_port": urlsplit(self.jupyter_url).port,
            "runtime_port": int(runtime[1]),
            "lab_runtime": "llama_cpp" if "openai/" in gateway else "ollama",
            **({"lab_models": catalogue()} if TWIN in gateway else {}),
            **self._refreshing(),
        }

    def _refreshing(self) -> dict[str, object]:
        service = self.home / "supervisor/hub.d/usage.conf"
        if not service.exists():  # containers
            return {}
        seconds = re.search(r'LAB_USAGE_REFRESH_SECONDS="(\d+)"', service.read_text())
        assert seconds
        return {"usage_refresh_seconds": int(seconds[1])}

    @property
    def notebooks(self) -> Path:
        return self.home / "notebooks"

    @property
    def models(self) -> list[str]:
        return [entry["id"] for entry in self.hub("/v1/models")["data"]]

    @property
    def model(self) -> str:
        return self.models[0]

    def venv(self, name: str) -> Path:
        """The newest environment of that name."""
        return max(self.home.glob(f"venvs/{name}-*"), key=lambda path: path.stat().st_mtime)

    @property
    def engine_dir(self) -> Path:
        return max(self.home.glob("engines/prisma-*"), key=lambda path: path.stat().st_mtime)

    def hub(self, path: str, body: dict[str, object] | None = None, key: str | None = None) -> dict:
        """One request to the hub, by default with the master key; return the answer's JSON."""
        request = urllib.request.Request(
            self.hub_url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key or self.master_key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def processes(self) -> dict[int, str]:
        """Process ids of the lab, supervisors included, with their command lines."""
        found = {}
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = b"\0" + Path(f"/proc/{process}/environ").read_bytes()
            except OSError:
                continue
            if b"\0LAB_SERVICE=" + f"{self.home}:".encode() in environment or f"-c {self.home}/supervisor/" in command:
                found[int(process)] = command
        return found

    def pid(self, service: str) -> int | None:
        """Main process of a service, such as 'gateway', 'engine' or 'runtime'; None while it is down."""
        if service == "database":
            file = next(self.home.glob("data/postgres/*/postmaster.pid"), None)
            pid = int(file.read_text().split()[0]) if file else 0
            return pid if pid and Path(f"/proc/{pid}").exists() else None
        mark = {"engine": "hub/gateway", "runtime": "hub/runtime"}.get(service) or SERVICE_PROCESS[service]
        for process, command in self.processes().items():
            is_engine = "prisma-query-engine" in command
            with contextlib.suppress(OSError):  # it may end meanwhile
                environment = Path(f"/proc/{process}/environ").read_bytes()
                if f"LAB_SERVICE={self.home}:{mark}".encode() not in environment or is_engine != (service == "engine"):
                    continue
                if "supervise.py" not in command and (is_engine or self.is_supervised(process)):
                    return process
        return None

    def is_supervised(self, process: int) -> bool:
        parent = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1]
        return b"supervisord" in Path(f"/proc/{parent}/cmdline").read_bytes()

    def kill(self, service: str) -> int:
        """SIGKILL a service's main process; return its process id."""
        wait_until(lambda: self.pid(service), 60, f"{service} runs")
        pid = self.pid(service)
        assert pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_ready(self) -> bool:
        """Whether a completion and JupyterLab answer."""
        body: dict[str, object] = {
            "model": self.model_name(),
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 1,
            "metadata": {"tags": ["lab-smoke"]},
        }
        try:
            self.hub("/v1/chat/completions", body)
            with urllib.request.urlopen(f"{self.jupyter_url}/api", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def model_name(self) -> str:
        """The first model by the gateway's configuration, known while the gateway is down."""
        found = re.search(r"model_name: (\S+)", (self.home / "config/gateway.yaml").read_text())
        assert found
        return found[1]

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Wait until the lab is whole again."""
        wait_until(self.is_ready, timeout_s, "the lab answers again")
