"""What is written about the roles is true of them."""

from __future__ import annotations

import pytest
import yaml

from tests.support.lab import ROOT

# What playbooks and roles name by `tasks_from`; other files are parts of these.
ENTRY_POINTS = {"main", "install", "run", "stop", "remove", "config", "rights", "accounts"}
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


def test_every_entry_point_has_a_specification_and_preflight_knows_all_roles() -> None:
    settings = []
    for role in ROLES:
        specified = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
        used = {path.stem for path in (role / "tasks").glob("*.yml")} & ENTRY_POINTS
        assert used <= set(specified), role.name
        assert all(specified[entry] == specified["main"] for entry in used), role.name
        settings += [role.name] if specified["main"].get("options") else []
    known = yaml.safe_load((ROOT / "ansible/roles/preflight/vars/main.yml").read_text())["preflight_roles"]
    assert known == settings
