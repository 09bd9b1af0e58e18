"""Runs one of the project's modules on this machine, without the second that Ansible itself needs to start."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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


@contextlib.contextmanager
def start_module(name: str, arguments: dict[str, Any], *, check: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start a module of `ansible/library`."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as given:
        internal = {"_ansible_check_mode": check, "_ansible_tmpdir": folder, "_ansible_remote_tmp": folder}
        given.write(json.dumps(arguments | internal))
        given.seek(0)
        with subprocess.Popen(
            [sys.executable, "-c", RUNNER, ROOT / "ansible/module_utils", ROOT / f"ansible/library/{name}.py"],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def run_module(name: str, arguments: dict[str, Any], *, check: bool = False, timeout_s: float = 120) -> dict[str, Any]:
    """Run a module of `ansible/library`; give its result, and its exit code as `code`."""
    with start_module(name, arguments, check=check) as process:
        out, err = process.communicate(timeout=timeout_s)
    assert out.strip(), err
    return {**json.loads(out.strip().splitlines()[-1]), "code": process.returncode}
