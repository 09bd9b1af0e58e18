"""What else shows notebooks with widgets, from the checkout's environment: Notebook 7, Voilà, JupyterLab on any hub."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.jupyter_page import JupyterPage
from tests.support.lab import ROOT, Lab, free_ports, wait_until

START_S = 120.0


@dataclass(frozen=True)
class Frontend:
    """A running server.

    Attributes:
        url: Its address.
        token: What it asks for; empty where it asks for nothing.
        folder: Where its notebooks lie.
    """

    url: str
    token: str
    folder: Path


class Notebook7Page(JupyterPage):
    """A tab of Notebook 7 with one notebook of its own."""

    def address(self) -> str:
        return f"{self._url}/notebooks/{self._name}?token={self._token}"


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def _serving(hub: Mapping[str, str], folder: Path, command: list[str], url: str, token: str) -> Iterator[Frontend]:
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(ROOT), "JUPYTER_TOKEN": token}
    notebooks = folder / "notebooks"
    notebooks.mkdir(exist_ok=True)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=notebooks, env={**os.environ, **hub, **own}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _answers(url), START_S, f"{command[0]} answers, see {folder / 'server.log'}")
        yield Frontend(url, token, notebooks)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _jupyter(program: str, hub: dict[str, str], folder: Path) -> Iterator[Frontend]:
    """A server of Jupyter's with the project's extension, for the block."""
    [port] = free_ports(1)
    command = [str(Path(sys.executable).with_name(program)), f"--ServerApp.port={port}", "--no-browser", "--allow-root"]
    command.append(f"--LabServerApp.extra_labextensions_path={ROOT / 'widgets/labextension'}")
    with _serving(hub, folder, command, f"http://127.0.0.1:{port}", secrets.token_hex(8)) as frontend:
        yield frontend


@contextmanager
def notebook7(lab: Lab, folder: Path) -> Iterator[Frontend]:
    """Notebook 7 for the block."""
    with _jupyter("jupyter-notebook", lab.notebook_env, folder) as frontend:
        yield frontend


@contextmanager
def jupyterlab(hub_url: str, folder: Path) -> Iterator[Frontend]:
    """JupyterLab for the block, whose kernels find a hub at `hub_url`; it keeps conversations in the folder too."""
    hub = {"LITELLM_BASE_URL": hub_url, "LITELLM_API_KEY": "sk-test", "XDG_DATA_HOME": str(folder)}
    with _jupyter("jupyter-lab", hub, folder) as frontend:
        yield frontend


@contextmanager
def voila(lab: Lab, folder: Path) -> Iterator[Frontend]:
    """Voilà for the block; it shows each notebook of its folder at `/voila/render/NAME`."""
    [port] = free_ports(1)
    program = str(Path(sys.executable).with_name("voila"))
    options = [f"--port={port}", "--no-browser", "--show_tracebacks=True", "."]
    with _serving(lab.notebook_env, folder, [program, *options], f"http://127.0.0.1:{port}", "") as frontend:
        yield frontend
