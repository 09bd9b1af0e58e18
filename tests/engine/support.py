"""What the engine's tests share: calls of programs in the gateway's environment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import GatewayEnv

ENGINE_SOURCE = Path(__file__).parents[2] / "litellm_hub/gateway/engine"
CASES = Path(__file__).with_name("cases")


def plain_environment() -> dict[str, str]:
    """The caller's environment, but byte code is kept: the client's modules take seconds to compile."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def gateway_environment(gateway: GatewayEnv, database_url: str) -> dict[str, str]:
    """Environment variables that the gateway's service gets for the engine."""
    engine = str(gateway.engine_dir / "prisma-query-engine.mjs")
    return plain_environment() | {
        "PATH": os.pathsep.join([str(gateway.node_bin), str(gateway.python.parent), os.environ["PATH"]]),
        "DATABASE_URL": database_url,
        "PRISMA_BINARY_CACHE_DIR": str(gateway.engine_dir),
        "PRISMA_QUERY_ENGINE_BINARY": engine,
        "PRISMA_SCHEMA_ENGINE_BINARY": engine,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def migrate(gateway: GatewayEnv, database_url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run migrate.py to its end."""
    return subprocess.run(
        [gateway.python, ENGINE_SOURCE / "migrate.py", *options],
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def counts(result: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """The JSON object in the last line of a successful migrate.py."""
    assert result.returncode == 0, result.stderr
    answer: dict[str, int] = json.loads(result.stdout.splitlines()[-1])
    return answer


def run_cases(names: Sequence[str], environment: dict[str, str], python: Path, server: Any) -> dict[str, str | None]:
    """Run cases in one process, and stop or start the database whenever a case asks for it.

    Args:
        names: Functions of the modules in `cases`.
        environment: From `gateway_environment`.
        python: Of the gateway.
        server: Has methods named like the requests.

    Returns:
        Case name -> None, or the traceback of its failure.
    """
    with subprocess.Popen(
        [python, CASES, *names], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line) if line.startswith("{") else {}
            if "ask" in message:
                getattr(server, message["ask"])()
                process.stdin.write("done\n")
                process.stdin.flush()
            if "results" in message:
                results: dict[str, str | None] = message["results"]
                return results
    raise AssertionError(f"the cases ended without results, exit code {process.returncode}")


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Look at a condition again and again until it is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true after {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
