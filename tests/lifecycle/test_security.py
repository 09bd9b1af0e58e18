"""What a lab keeps closed: ports and secrets; `tests/hosts/test_accounts.py` has what only root's labs can keep."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.lab import ROOT, Lab

pytestmark = pytest.mark.lab
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def sockets_of(process: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def listening() -> dict[str, tuple[str, int]]:
    """Inode -> address and port, in the kernel's notation, of every listening TCP socket."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in map(str.split, Path(table).read_text().splitlines()[1:]):
            if fields[3] == "0A":
                address, port = fields[1].rsplit(":", 1)
                found[fields[9]] = (address, int(port, 16))
    return found


def secret_values(lab: Lab) -> list[str]:
    return list(lab.secrets.values())


def test_everything_listens_on_loopback_only(lab: Lab):
    sockets = listening()
    addresses = {sockets[inode] for process in lab.processes() for inode in sockets_of(process) if inode in sockets}
    assert len({port for _, port in addresses}) >= 4
    assert {address for address, _ in addresses} <= LOOPBACK


def test_secrets_are_readable_by_their_owner_alone(lab: Lab):
    private = ["secrets.env", "notebook.env", *(f"config/{name}.env" for name in ("gateway", "jupyter", "runtime"))]
    assert {name: oct((lab.home / name).stat().st_mode & 0o777) for name in private} == dict.fromkeys(private, "0o600")
    for folder in ("data/postgres", "data/journal", "notebooks"):
        assert (lab.home / folder).stat().st_mode & 0o077 == 0


def test_no_secret_is_on_a_command_line_while_the_gateway_starts(lab: Lab):
    secrets, seen, stop = [value.encode() for value in secret_values(lab)], [], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for process in filter(str.isdigit, os.listdir("/proc")):
                try:
                    command = Path(f"/proc/{process}/cmdline").read_bytes()
                except OSError:
                    continue
                if any(secret in command for secret in secrets):
                    seen.append(command[:200])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        lab.kill("gateway")
        lab.wait_ready(120)
    finally:
        stop.set()
        watcher.join()
    assert seen == []


def test_no_secret_is_in_a_log_or_in_the_checkout(lab: Lab):
    secrets = secret_values(lab)
    for log in (path for path in lab.home.glob("logs/**/*") if path.is_file()):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            assert not any(secret.encode() in (ROOT / name).read_bytes() for secret in secrets), name


def test_kernels_get_a_virtual_key_and_never_the_master_key(lab: Lab):
    pid = lab.pid("jupyterlab")
    environment = Path(f"/proc/{pid}/environ").read_text()
    assert f"LITELLM_BASE_URL={lab.hub_url}/v1\0" in environment
    assert f"LITELLM_API_KEY={lab.notebook_key}\0" in environment
    assert "LAB_DATABASE_URL=" in environment
    for name in ("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "POSTGRES_PASSWORD", "RUNTIME_API_KEY"):
        assert lab.secrets[name] not in environment
    info = lab.hub("/key/info", key=lab.notebook_key)["info"]
    assert info["max_budget"] > 0


def test_the_runtime_wants_the_gateways_key(lab: Lab):
    denied = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "content-type: application/json", "-d", "{}",
         f"http://127.0.0.1:{lab.variables['runtime_port']}/v1/chat/completions"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert denied.stdout == "401"


def test_jupyterlab_wants_its_token(lab: Lab):
    ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{lab.jupyter_url}/api/contents"]
    assert subprocess.run(ask, capture_output=True, text=True, check=False).stdout == "403"
    ask += ["-H", f"Authorization: token {lab.jupyter_token}"]
    assert subprocess.run(ask, capture_output=True, text=True, check=False).stdout == "200"
