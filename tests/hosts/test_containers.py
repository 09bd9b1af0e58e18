"""A lab of processes becomes one of containers, is opened to its neighbours and closed.

The host is this one: Docker runs, and systemd need not be PID 1.
"""

from __future__ import annotations

import os
import pwd
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ansible.module_utils import lab_peer
from tests.conftest import lab_variables
from tests.hosts.machine import docker, engine_answers
from tests.hosts.moving import KEYS, ROWS, Moving
from tests.lifecycle.test_security import listening, sockets_of
from tests.support.lab import changes, playbook
from tests.support.neighbour import neighbour

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0 or not engine_answers(), reason="needs root, a Docker engine and debootstrap"),
]
LIST_MODELS = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_check_mode_passes_where_there_is_no_lab_and_where_one_would_move(moving: Moving, lab_folder: Path) -> None:
    virgin = moving.variables | lab_variables(lab_folder / "virgin") | {"lab_profile": "containers"}
    for variables in (virgin, moving.variables):
        run = playbook("site", variables, "--check")
        assert run.returncode == 0, run.stdout[-6000:] + run.stderr
        assert changes(run) > 0
    assert not (lab_folder / "virgin").exists()
    moving.ask()


def test_the_database_keys_and_journal_of_an_embedded_lab_are_carried_over(moving: Moving) -> None:
    for _ in range(3):
        moving.ask()
    moving.wait_for_rows()
    rows, keys = moving.query(ROWS), moving.query(KEYS)
    for _ in range(3):
        moving.ask()  # the last ones are in the journal alone when the gateway stops
    run = moving.play(lab_bind_address="0.0.0.0")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert moving.query(ROWS) >= rows
    assert {key[:2] for key in moving.query(KEYS)} >= {key[:2] for key in keys}
    moving.ask()
    moving.wait_for_rows()
    assert moving.lab.notebook_key
    assert moving.lab.hub("/v1/models", key=moving.lab.notebook_key)["data"]
    assert (moving.lab.home / "data/postgres/16.carried/PG_VERSION").exists()
    assert moving.lab.pid("gateway") is None


def test_both_ports_of_the_hub_are_the_services_accounts(moving: Moving) -> None:
    services = pwd.getpwnam("genailab").pw_uid
    for name in ("hub", "postgres"):
        assert {found.uid for found in lab_peer.listeners(int(moving.variables[f"{name}_port"]))} == {services}


def test_the_query_engine_in_the_container_serves_its_own_account_only(moving: Moving) -> None:
    sockets = listening()
    [engine] = [pid for pid, command in moving.lab.processes().items() if "prisma-query-engine" in command]
    [port] = {sockets[inode][1] for inode in sockets_of(engine) if inode in sockets}
    status = urllib.request.Request(f"http://127.0.0.1:{port}/status")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(status, timeout=10)


def test_an_open_lab_shows_its_neighbours_the_hub_and_jupyterlab_alone(moving: Moving) -> None:
    ports = [moving.variables[f"{name}_port"] for name in ("hub", "jupyter", "postgres", "runtime")]
    with neighbour() as there:
        assert [there.reaches(there.here, port) for port in ports] == [True, True, False, False]
        for key, answer in ((moving.key, "200"), ("sk-wrong", "401")):
            url = f"http://{there.here}:{moving.variables['hub_port']}/v1/models"
            assert there.run("python3", "-c", LIST_MODELS, url, key).stdout.strip() == answer


def test_a_closed_lab_shows_its_neighbours_nothing_and_keeps_nothing_of_an_earlier_network(moving: Moving) -> None:
    # What a lab has whose containers were on a bridge.
    sockets = moving.lab.home / "run/runtime"
    sockets.mkdir()
    (sockets / "11434.sock").touch()
    docker("network", "create", f"{moving.project}_hub")
    rows = moving.query(ROWS)
    run = moving.play(lab_bind_address="127.0.0.1")  # it remembers the other one
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) > 0
    with neighbour() as there:
        for port in (moving.variables[f"{name}_port"] for name in ("hub", "jupyter", "postgres", "runtime")):
            assert not there.reaches(there.here, port), port
    assert not sockets.exists()
    assert docker("network", "ls", "-q", "--filter", f"name={moving.project}_hub") == ""
    assert moving.query(ROWS) >= rows


@pytest.mark.long
def test_check_mode_finds_nothing_to_change(moving: Moving) -> None:
    """Nor does a second run: Molecule's scenario."""
    run = playbook("site", moving.variables, "--check")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) == 0, run.stdout


def test_an_image_that_is_refused_leaves_the_running_lab_alone(moving: Moving) -> None:
    before, row_count = moving.containers(), len(moving.query(ROWS))
    wrong = f"sha256:{'0' * 64}"
    nobody = "127.0.0.1:9/library/postgres:16.14"
    run = moving.play(hub_images="pull", hub_database_image=nobody, hub_database_digest=wrong)
    assert run.returncode != 0
    assert f"{nobody.removesuffix(':16.14')}@{wrong} could not be had; nothing that runs was touched" in run.stdout
    assert moving.containers() == before
    moving.ask()
    moving.wait_for_rows()
    assert len(moving.query(ROWS)) == row_count + 1


def test_the_way_back_is_refused(moving: Moving) -> None:
    run = moving.play(lab_profile="embedded")
    assert run.returncode != 0
    assert "this lab's database is in a Docker volume" in run.stdout
    moving.ask()
