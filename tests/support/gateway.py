"""The lab's gateway once more, with further models: for answers that no real model gives on demand."""

from __future__ import annotations

import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.engine.support import gateway_environment
from tests.support.lab import ROOT, Lab, free_ports, read_env, wait_until

if TYPE_CHECKING:
    from tests.conftest import GatewayEnv

PRICE = {"input_cost_per_token": 1e-7, "output_cost_per_token": 2e-7}


@dataclass(frozen=True)
class Gateway:
    """A gateway of its own beside the lab's, on the lab's database: the lab's keys and budgets hold there too.

    Attributes:
        url: Address of its API, ends in `/v1`.
        key: The key of the lab's notebooks.
    """

    url: str
    key: str


@contextmanager
def another_gateway(
    lab: Lab,
    env: GatewayEnv,
    folder: Path,
    runtimes: Mapping[str, str],
    slots: Mapping[str, int] | None = None,
    request_timeout: float | None = None,
) -> Iterator[Gateway]:
    """Run LiteLLM with the lab's configuration and further models.

    Args:
        lab: The lab.
        env: The environment of its gateway.
        folder: An empty folder for its configuration, journal and log.
        runtimes: Address (ends in `/v1`) of an OpenAI-compatible runtime for each further model.
        slots: How many requests those models take at a time of which that is known.
        request_timeout: Seconds that a request may take, instead of the lab's.
    """
    settings = yaml.safe_load((lab.home / "config/gateway.yaml").read_text())
    for name, address in runtimes.items():
        params = {"model": f"openai/{name}", "api_base": address, "api_key": "none"}
        params["use_chat_completions_api"] = True
        info = {"mode": "chat", "max_input_tokens": 4096, **PRICE}
        if slots and name in slots:
            info["parallel_requests"] = slots[name]
        settings["model_list"].append({"model_name": name, "litellm_params": params, "model_info": info})
    if request_timeout is not None:
        settings["litellm_settings"]["request_timeout"] = request_timeout
    config = folder / "gateway.yaml"
    config.write_text(yaml.safe_dump(settings))
    [port] = free_ports(1)
    environment = {
        **gateway_environment(env, lab.database_url),
        **read_env(lab.home / "config/gateway.env"),
        "PYTHONPATH": str(ROOT),
        "LITELLM_MODE": "PRODUCTION",
        "DISABLE_SCHEMA_UPDATE": "True",
        "LAB_JOURNAL_DIR": str(folder / "journal"),
    }
    command = [
        env.python,
        "-m",
        "litellm_hub.gateway.start",
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    log = folder / "gateway.log"
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: _is_ready(port, process, log), 120, "the second gateway answers")
            yield Gateway(f"http://127.0.0.1:{port}/v1", lab.notebook_key)
        finally:
            process.send_signal(signal.SIGTERM)


def _is_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-4000:]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/readiness", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
