"""What is written about the roles is true of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests.support.lab import ROOT

ROLES = sorted((ROOT / "ansible/roles").iterdir())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_those_of_the_specification(role) -> None:
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text()) or {}
    specification = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    described = specification.get("options") or {}
    assert {name: option.get("default", "") for name, option in described.items()} == defaults


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_carry_the_roles_name(role) -> None:
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text()) or {}
    assert all(name.startswith(f"{role.name}_") for name in defaults)


def test_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "ansible/docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
