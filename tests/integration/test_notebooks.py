"""The notebooks that a lab ships run top to bottom in the environment that its kernels have."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.lab import ROOT, Lab

pytestmark = pytest.mark.lab
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def kernel_environment(lab: Lab) -> dict[str, str]:
    """Environment of the running JupyterLab, which its kernels inherit."""
    pid = lab.pid("jupyterlab")
    entries = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
    return dict(entry.split("=", 1) for entry in entries if not entry.startswith("LAB_SERVICE="))


def execute(lab: Lab, name: str) -> dict:
    """Run a notebook as the account and in the environment of the lab's JupyterLab; return it with its outputs."""
    account = "genailab-notebook"
    prefix = ["setpriv", "--reuid", account, "--regid", account, "--init-groups"] if os.geteuid() == 0 else []
    convert = [lab.venv("jupyterlab") / "bin/jupyter", "nbconvert", "--to", "notebook", "--execute", "--stdout", name]
    run = subprocess.run(
        [*prefix, *convert], cwd=lab.notebooks, env=kernel_environment(lab), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_notebook_runs_top_to_bottom(lab: Lab, name: str):
    lab.hub(
        "/v1/chat/completions",
        {"model": lab.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4},
        key=lab.notebook_key,
    )
    done = execute(lab, name)
    outputs = [output for cell in done["cells"] for output in cell.get("outputs", [])]
    assert outputs
    assert not any(secret in json.dumps(outputs) for secret in lab.secrets.values())


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_notebook_holds_no_output(name: str):
    cells = json.loads((ROOT / "notebooks" / name).read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)
