"""Runs one of the project's modules on this machine, without the second that Ansible itself needs to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from tests.support.lab import ROOT

# What Ansible does on the host: the arguments come in, the module's own helpers are beside Ansible's.
RUNNER = """
import json, runpy, sys
import ansible.module_utils
from ansible.module_utils.testing import patch_module_args
ansible.module_utils.__path__.append(sys.argv[1])
with patch_module_args(json.load(sys.stdin)):
    runpy.run_path(sys.argv[2], run_name="__main__")
"""


def run_module(name: str, arguments: dict[str, Any], *, check: bool = False, timeout_s: float = 120) -> dict[str, Any]:
    """Run a module of `ansible/library`; give its result, and its exit code as `code`."""
    with tempfile.TemporaryDirectory() as folder:
        given = {**arguments, "_ansible_check_mode": check, "_ansible_tmpdir": folder, "_ansible_remote_tmp": folder}
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, ROOT / "ansible/module_utils", ROOT / f"ansible/library/{name}.py"],
            input=json.dumps(given),
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr
    return {**json.loads(lines[-1]), "code": done.returncode}
