"""Cells in real kernels, one kernel for each case."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from benchmarks.environments import ROOT

TIMEOUT_S = 60.0  # of one cell: a corrected one may go round for ever
REMOTE = '__import__("importlib").import_module("widgets.context.remote")'


@dataclass(frozen=True)
class Failure:
    """How a cell failed.

    Attributes:
        message: What the error says.
        traceback: As it is shown, without colours.
    """

    message: str
    traceback: str


class Kernel:
    """A kernel and what is asked of it."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> Failure | None:
        """Run a cell; return its failure, None if there is none."""
        try:
            content = self._execute(code)
        except TimeoutError:
            return Failure("", f"The cell ran for more than {TIMEOUT_S:.0f} seconds.")
        if content["status"] == "ok":
            return None
        return Failure(content["evalue"], re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"])))

    def tell(self, source: str, failure: Failure | None) -> dict[str, Any]:
        """Return what the kernel tells of a cell, by the expression that notebooks use."""
        error = failure.message if failure else ""
        expression = f"{REMOTE}.of_cell({json.dumps(source)}, {json.dumps(error)})"
        told = self._execute("", silent=True, user_expressions={"lab": expression})["user_expressions"]["lab"]
        if told["status"] != "ok":
            raise RuntimeError(f"The kernel does not tell of the cell: {told['evalue']}")
        found: dict[str, Any] = json.loads(told["data"]["text/plain"])
        return found

    def _execute(self, code: str, **options: Any) -> dict[str, Any]:
        reply = self._client.execute(
            code, reply=True, timeout=TIMEOUT_S, allow_stdin=False, stop_on_error=False, **options
        )
        content: dict[str, Any] = reply["content"]
        return content


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel for the block, which works in a folder."""
    # Byte code is kept, whatever the caller's shell says: without it pandas takes seconds in each kernel.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder)}
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(stderr=subprocess.DEVNULL, cwd=str(folder), env=inherited | own)
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=TIMEOUT_S)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
