"""What runs again on a lab that stands: the play, check mode, the log-in, services that were killed."""

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import lab_variables
from tests.support.lab import Lab, changes, playbook, wait_until

pytestmark = pytest.mark.lab


def test_check_mode_passes_on_a_fresh_host_and_makes_nothing(lab_folder: Path):
    home = lab_folder / "virgin"
    run = playbook("site", lab_variables(home), "--check")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) > 0
    assert not home.exists()


def test_again_nothing_changes_as_the_lab_remembers_its_settings(lab: Lab):
    run = playbook("site", {"lab_home": str(lab.home)})
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) == 0, run.stdout


def test_login_prints_the_address_with_its_token(lab: Lab):
    run = playbook("login", {"lab_home": str(lab.home)})
    assert f"{lab.jupyter_url}/lab?token={lab.jupyter_token}" in run.stdout


def test_status_says_where_each_service_listens(lab: Lab):
    run = playbook("status", {"lab_home": str(lab.home)})
    assert run.returncode == 0, run.stdout
    for service, address in (("gateway", lab.hub_url), ("jupyterlab", lab.jupyter_url)):
        [line] = [line for line in run.stdout.splitlines() if line.startswith(service)]
        assert address.removeprefix("http://") in line


def test_a_killed_jupyterlab_is_back(lab: Lab):
    killed = lab.kill("jupyterlab")
    lab.wait_ready(60)
    assert lab.pid("jupyterlab") != killed


def test_a_killed_database_is_back_though_another_process_has_its_number_now(lab: Lab):
    """As after a power cut: the numbers of processes begin anew."""
    [left] = lab.home.glob("data/postgres/*/postmaster.pid")
    killed, taken = lab.pid("database"), lab.pid("gateway")
    number, *lines = left.read_text().splitlines(keepends=True)
    assert int(number) == killed
    left.write_text("".join([f"{taken}\n", *lines]))
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: lab.pid("database") not in (None, killed, taken), 60, "the database runs again")
    lab.wait_ready(60)
