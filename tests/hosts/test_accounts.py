"""A lab that root has made keeps its accounts apart."""

import pwd
import subprocess
from pathlib import Path

import pytest

from tests.lifecycle.test_security import listening, sockets_of
from tests.support.lab import Lab, free_ports, wait_until
from tests.support.modules import run_module
from tests.support.strangers import http_stranger

pytestmark = pytest.mark.lab


def test_no_process_of_the_lab_runs_as_root(ollama: Lab):
    owners = {process: Path(f"/proc/{process}").stat().st_uid for process in ollama.processes()}
    assert owners
    assert 0 not in owners.values()


def test_the_notebooks_account_cannot_read_the_services_secrets(ollama: Lab):
    for name in ("secrets.env", "config/gateway.env", "config/runtime.env", "data/postgres", "data/journal"):
        command = [
            "setpriv",
            "--reuid",
            "genailab-notebook",
            "--regid",
            "genailab-notebook",
            "--init-groups",
            "ls" if "." not in name else "cat",
            name,
        ]
        denied = subprocess.run(command, cwd=ollama.home, capture_output=True, text=True, check=False)
        assert "Permission denied" in denied.stderr, name


def test_the_notebooks_account_in_a_services_place_is_named_and_gets_no_key(ollama: Lab, tmp_path: Path):
    [port] = free_ports(1)
    url, heard = f"http://127.0.0.1:{port}/health/readiness", tmp_path / "heard"
    service = {"url": url, "accounts": ["genailab"]}
    with http_stranger(port, heard, pwd.getpwnam("genailab-notebook").pw_uid):
        wait_until(lambda: b"listening" in heard.read_bytes(), 10, "the thief listens")
        awaited = run_module("lab_request", service | {"wait": 1})
        assert "in the hands of account genailab-notebook, not of genailab" in awaited["msg"]
        key = {"Authorization": f"Bearer {ollama.master_key}"}
        asked = run_module("lab_request", service | {"headers": key})
        assert "in the hands of account genailab-notebook" in asked["msg"]
        assert heard.read_bytes() == b"listening\n"


def test_the_query_engine_serves_its_own_account_only(ollama: Lab):
    sockets = listening()
    engine = ollama.pid("engine")
    assert engine
    [port] = {sockets[inode][1] for inode in sockets_of(engine) if inode in sockets}
    as_notebook = ["setpriv", "--reuid", "genailab-notebook", "--regid", "genailab-notebook", "--init-groups"]
    for prefix in ([], as_notebook):
        ask = [*prefix, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}/status"]
        assert subprocess.run(ask, capture_output=True, text=True, check=False).stdout == "403"
