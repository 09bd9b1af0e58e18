"""The notebooks that a lab ships run in its kernels' environment; those of usage: `test_usage_notebooks.py`."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from litellm_hub import usage
from tests.support.lab import ROOT, Lab, wait_until

pytestmark = pytest.mark.lab
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def kernel_environment(lab: Lab) -> dict[str, str]:
    """Environment of the running JupyterLab, which its kernels inherit."""
    pid = lab.pid("jupyterlab")
    entries = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
    return dict(entry.split("=", 1) for entry in entries if not entry.startswith("LAB_SERVICE="))


def convert(lab: Lab, *arguments: str) -> str:
    """Execute a notebook as the account and in the environment of the lab's JupyterLab; return what comes out."""
    account = "genailab-notebook"
    prefix = ["setpriv", "--reuid", account, "--regid", account, "--init-groups"] if os.geteuid() == 0 else []
    program = lab.venv("jupyterlab") / "bin/jupyter"
    run = subprocess.run(
        [*prefix, program, "nbconvert", "--execute", "--stdout", *arguments],
        cwd=lab.notebooks, env=kernel_environment(lab), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert not any(secret in run.stdout for secret in lab.secrets.values())
    return run.stdout


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if not name.startswith("usage_")])
def test_a_shipped_notebook_runs_top_to_bottom(lab: Lab, name: str):
    done = json.loads(convert(lab, "--to", "notebook", name))
    assert any(cell.get("outputs") for cell in done["cells"])


def test_a_usage_notebook_becomes_a_page_with_its_charts(lab: Lab):
    """By the command of the README."""
    body = {"model": lab.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    lab.hub("/v1/chat/completions", body, key=lab.notebook_key)
    log = usage.connect(lab.reader_url)
    wait_until(lambda: len(usage.requests(log, limit=1)), 60, "the row is in the log")
    log.dispose()
    page = convert(lab, "--no-input", "--to", "html", "usage_costs.ipynb")
    drawings = re.findall(r'<img[^>]* src="data:image/svg\+xml;base64,([^"]+)"', page, re.DOTALL)
    assert any("Spend in US dollars" in base64.b64decode(drawing).decode() for drawing in drawings)
    assert "claude-haiku-4-5" in page
    assert "usage.connect" not in page


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_notebook_holds_no_output(name: str):
    cells = json.loads((ROOT / "notebooks" / name).read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)
