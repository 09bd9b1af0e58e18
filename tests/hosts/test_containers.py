"""A lab of processes becomes one of containers, is opened to its neighbours and closed.

The host is this one: Docker runs, and systemd need not be PID 1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible.module_utils import lab_subnet
from tests.conftest import lab_variables
from tests.hosts.machine import docker, engine_answers
from tests.hosts.moving import KEYS, ROWS, Moving
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


@pytest.fixture(scope="module")
def squatter(moving: Moving) -> Iterator[str]:
    """First numbers of the network that the lab would choose first; somebody else's has them."""
    prefix = next(lab_subnet.candidates(str(moving.lab.home)))
    name = f"squatter-{os.getpid()}"
    docker("network", "create", "--subnet", f"{prefix}.0/24", name)
    yield prefix
    docker("network", "rm", name)


def test_check_mode_passes_where_there_is_no_lab_and_where_one_would_move(moving: Moving, lab_folder: Path) -> None:
    virgin = moving.variables | lab_variables(lab_folder / "virgin") | {"lab_profile": "containers"}
    for variables in (virgin, moving.variables):
        run = playbook("site", variables, "--check")
        assert run.returncode == 0, run.stdout[-6000:] + run.stderr
        assert changes(run) > 0
    assert not (lab_folder / "virgin").exists()
    moving.ask()


def test_a_network_that_cannot_be_made_is_refused_before_anything_changes(moving: Moving, squatter: str) -> None:
    run = moving.play(hub_subnet=squatter)
    assert run.returncode != 0
    assert f"hub_subnet='{squatter}': Docker's network squatter-{os.getpid()} has {squatter}.0/24" in run.stdout
    moving.ask()


@pytest.mark.usefixtures("squatter")
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


def test_an_open_lab_shows_its_neighbours_the_hub_and_jupyterlab_alone(moving: Moving) -> None:
    ports = [moving.variables[f"{name}_port"] for name in ("hub", "jupyter", "postgres", "runtime")]
    with neighbour() as there:
        assert [there.reaches(there.here, port) for port in ports] == [True, True, False, False]
        for key, answer in ((moving.key, "200"), ("sk-wrong", "401")):
            url = f"http://{there.here}:{moving.variables['hub_port']}/v1/models"
            assert there.run("python3", "-c", LIST_MODELS, url, key).stdout.strip() == answer
        for address in addresses(moving, "database"):
            assert not there.reaches(address, 5432)


def addresses(moving: Moving, service: str) -> list[str]:
    """A container's addresses on all its networks."""
    networks = docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", f"{moving.project}-{service}-1")
    return [network["IPAddress"] for network in json.loads(networks).values()]


def test_a_closed_lab_shows_its_neighbours_nothing(moving: Moving) -> None:
    run = moving.play(lab_bind_address="127.0.0.1")  # it remembers the other one
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) > 0
    with neighbour() as there:
        for port in (moving.variables[f"{name}_port"] for name in ("hub", "jupyter", "postgres", "runtime")):
            for address in (there.here, host_address(moving)):
                assert not there.reaches(address, port), f"{address}:{port}"
        for service, port in (("gateway", 4000), ("database", 5432)):
            for address in addresses(moving, service):
                assert not there.reaches(address, port), f"{address}:{port}"


def host_address(moving: Moving) -> str:
    """This machine's address on the hub's network."""
    return docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", f"{moving.project}_hub").strip()


def test_a_second_run_changes_nothing(moving: Moving) -> None:
    for arguments in ((), ("--check",)):
        run = playbook("site", moving.variables, *arguments)
        assert run.returncode == 0, run.stdout[-6000:] + run.stderr
        assert changes(run) == 0, run.stdout


def test_an_image_that_is_refused_leaves_the_running_lab_alone(moving: Moving) -> None:
    before, row_count = moving.containers(), len(moving.query(ROWS))
    wrong = f"sha256:{'0' * 64}"
    nobody = "127.0.0.1:9/library/postgres:16.14"
    run = moving.play(hub_images="pull", hub_database_image=nobody, hub_database_digest=wrong)
    assert run.returncode != 0
    assert f"{nobody.removesuffix(':16.14')}@{wrong} (given) cannot be pulled" in run.stdout
    assert moving.containers() == before
    moving.ask()
    moving.wait_for_rows()
    assert len(moving.query(ROWS)) == row_count + 1


def test_the_way_back_is_refused(moving: Moving) -> None:
    run = moving.play(lab_profile="embedded")
    assert run.returncode != 0
    assert "this lab's database is in a Docker volume" in run.stdout
    moving.ask()
