"""A lab of containers is stopped, started again and removed."""

from __future__ import annotations

from tests.hosts.machine import docker
from tests.hosts.moving import Moving
from tests.support import folders
from tests.support.lab import changes


def test_down_keeps_the_data_and_up_brings_all_rows_back(moving: Moving) -> None:
    moving.ask()
    down = moving.play("down")
    assert down.returncode == 0, down.stdout
    assert set(moving.containers().values()) == {"exited"}
    assert moving.lab.processes() == {}
    assert moving.volumes()
    assert changes(moving.play("down")) == 0
    up = moving.play()
    assert up.returncode == 0, up.stdout[-6000:]
    moving.wait_for_rows()


def test_down_makes_nothing_anew_where_a_setup_has_failed(moving: Moving) -> None:
    folders.remove("container", f"label=com.docker.compose.project={moving.project}")
    down = moving.play("down")
    assert down.returncode == 0, down.stdout
    assert moving.containers() == {}


def test_clean_removes_containers_volumes_network_and_folder(moving: Moving) -> None:
    project = moving.project
    assert moving.play("clean", clean_confirmation="no").returncode != 0
    assert moving.volumes()
    done = moving.play("clean", clean_confirmation="yes")
    assert done.returncode == 0, done.stdout
    assert not moving.lab.home.exists()
    for what in (["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q"]):
        assert docker(*what, "--filter", f"label=com.docker.compose.project={project}") == ""
