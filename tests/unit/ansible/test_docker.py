"""What the preflight reads off a host's Docker engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible.module_utils import lab_docker

ANSWERS = """#!/bin/sh
case "$*" in
  "version --format {{.Server.Version}}") echo 28.2.2;;
  "compose version --short") echo 2.26.1-4;;
  "info --format {{.SecurityOptions}}") echo '%s';;
  *) exit 1;;
esac
"""


@pytest.mark.parametrize(
    ("security", "isolation"),
    [
        ("[name=seccomp,profile=builtin name=cgroupns]", ""),
        ("[name=seccomp,profile=builtin name=rootless name=cgroupns]", "rootless"),
        ("[name=seccomp,profile=builtin name=userns]", "userns"),
    ],
)
def test_an_engine_that_has_no_way_to_the_hosts_network_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str, isolation: str
) -> None:
    program = tmp_path / "docker"
    program.write_text(ANSWERS % security)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    engine = lab_docker.find()
    assert (engine.cli, engine.version, engine.compose, engine.buildx) == (str(program), "28.2.2", "2.26.1-4", "")
    assert engine.isolation == isolation
