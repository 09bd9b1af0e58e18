"""Checks of the lab's variables: each problem names the variable, its value and the remedy."""

from __future__ import annotations

import difflib
import re
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

BYTE = r"(25[0-5]|2[0-4]\d|1?\d?\d)"
DIGEST = re.compile(r"(sha256:[0-9a-f]{64})?"), "not a digest", "Give sha256: and 64 hexadecimal digits, or nothing"
# What types cannot say: the form of a value, or of each one in a list.
FORMS = {
    "lab_home": (  # a Unix socket below it must stay under the kernel's 107 characters
        re.compile(r"(?!.*/\.\.(/|$))/[A-Za-z0-9._/-]{1,74}"),
        "not an absolute path of at most 75 letters, digits and ._-/",
        "Use one such as /srv/genailab",
    ),
    "lab_bind_address": (
        re.compile(rf"{BYTE}(\.{BYTE}){{3}}"),
        "not an IPv4 address",
        "Use 127.0.0.1, or an address of this host",
    ),
    "hub_cors_origins": (
        re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?"),
        "not a web origin",
        "Use one such as https://chat.example.org, without a path",
    ),
    "hub_key_routes_extra": (  # names of groups and patterns would open what nobody sees in them
        re.compile(r"(/[A-Za-z0-9._-]+)+"),
        "not a path of the gateway",
        'Use such as ["/v1/rerank"]',
    ),
    "hub_gateway_digest": DIGEST,
    "hub_database_digest": DIGEST,
}
LISTS = ("hub_cors_origins", "hub_key_routes_extra")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
NAME_REMEDY = "Give it a name of lower-case letters, digits and ._-"
DIGITS = re.compile(r"[0-9a-f]{64}")
CONTEXT_MINIMUM = 256
MINIMUM = {"lab_parallel_requests": 1, "notebook_budget": 0.01}
ENTRY = {
    "name": {"type": "str", "required": True},
    "context": {"type": "int", "required": True},
    "ollama": {"type": "dict", "options": {"tag": {"type": "str", "required": True}}},
    "llama_cpp": {
        "type": "dict",
        "options": {"wheel": {}, "file": {"type": "path"}, "url": {}, "parts": {}, "sha256": {}},
        "required_one_of": [["wheel", "file", "url", "parts"]],
        "mutually_exclusive": [["wheel", "file", "url", "parts"]],
    },
    "price": {"type": "dict", "options": {"input": {"type": "float"}, "output": {"type": "float"}}},
    "memory": {"type": "int"},
    "licence": {"type": "str"},
    "size": {"type": "str"},
    "about": {"type": "str"},
    "tools": {"type": "raw", "choices": [True, False]},
    "vision": {"type": "raw", "choices": [True, False]},
}
# Nobody else's variables begin like this; others count as misspelt only where they are close to a known name.
OWN_PREFIXES = ("lab_", "hub_", "gateway_", "notebook_", "workbench_", "genailab")
ALIKE = 0.85  # of difflib's ratio: a letter more, less or exchanged


def problem(variable: str, value: object, what: str, remedy: str) -> str:
    """One line in the form that every refusal has."""
    return f"{variable}={value!r}: {what}. {remedy}"


def check_names(names: list[str], known: list[str]) -> list[str]:
    """Every variable of the lab is one that something reads."""
    problems = []
    for name in sorted(set(names) - set(known)):
        nearest = difflib.get_close_matches(name, known, 1)
        if name.startswith(OWN_PREFIXES) or difflib.get_close_matches(name, known, 1, ALIKE):
            remedy = f"Did you mean {nearest[0]}?" if nearest else "make settings lists what there is"
            problems.append(f"{name}: no such variable. {remedy}")
    return problems


def check_types(specification: dict[str, dict], given: dict[str, object]) -> list[str]:
    """Values are of the types, and among the choices, that the roles' specifications name."""
    problems = []
    for name in sorted(specification.keys() & given.keys()):
        option = {key: value for key, value in specification[name].items() if key not in ("description", "default")}
        for message in ArgumentSpecValidator({name: option}).validate({name: given[name]}).error_messages:
            why = f"not of type {option['type']}" if "unable to convert" in message else message
            problems.append(problem(name, given[name], why, "`make settings` says more"))
    return problems


def check_forms(settings: dict[str, object]) -> list[str]:
    """Values have the form that they need, and numbers are not too small."""
    problems = []
    for variable, (form, what, remedy) in FORMS.items():
        value = settings[variable]
        for item in value if isinstance(value, list) and variable in LISTS else [value]:
            if not isinstance(item, str) or not form.fullmatch(item):
                problems.append(problem(variable, item, what, remedy))
    for variable, minimum in MINIMUM.items():
        try:
            if float(str(settings[variable])) >= minimum:
                continue
            what = "too small"
        except ValueError:
            what = "not a number"
        problems.append(problem(variable, settings[variable], what, f"Use {minimum:g} or more"))
    return problems


def check_ports(ports: dict[str, object], root: bool) -> list[str]:
    """Ports are numbers, permitted for the caller, and differ from each other."""
    problems, owners, remedy = [], {}, "Use a number from 1024 to 65535"
    for variable, value in ports.items():
        if not str(value).isdigit() or not 0 < int(str(value)) < 65536:
            problems.append(problem(variable, value, "not a port number", remedy))
            continue
        port = int(str(value))
        if port < 1024 and not root:
            problems.append(problem(variable, value, "ports below 1024 are root's", remedy))
        if port in owners:
            remedy = f"Choose another port for {variable}"
            problems.append(problem(variable, value, f"the same port as {owners[port]}", remedy))
        owners.setdefault(port, variable)
    return problems


def filled(value: Any) -> Any:
    """A dictionary without the keys that say nothing."""
    if not isinstance(value, dict):
        return value
    return {key: filled(part) for key, part in value.items() if part not in (None, "", {})}


def check_catalogue(models: object) -> list[str]:
    """The model catalogue: names, sources and sizes of every entry."""
    form = "ansible/group_vars/all/models.yml shows the form"
    if not isinstance(models, list) or not models:
        return [problem("lab_models", models, "not a list of models", form)]
    problems: list[str] = []
    seen: set[str] = set()
    for position, entry in enumerate(models):
        where = f"lab_models[{position}]"
        if not isinstance(entry, dict) or not NAME.fullmatch(str(entry.get("name", ""))):
            problems.append(problem(where, entry, "no valid name", NAME_REMEDY))
            continue
        where, name = f"lab_models[{entry['name']}]", entry["name"]
        if name in seen:
            problems.append(problem(where, name, "listed twice", "Remove one of the two entries"))
        seen.add(name)
        validator = ArgumentSpecValidator(ENTRY, required_one_of=[["ollama", "llama_cpp"]])
        if messages := validator.validate(filled(entry)).error_messages:
            whys = [f"unknown key {why}" if "Supported parameters" in why else why for why in messages]
            problems += [problem(where, entry, why.rstrip("."), form) for why in whys]
            continue
        if int(entry["context"]) < CONTEXT_MINIMUM:
            remedy = f"Use a number from {CONTEXT_MINIMUM} on"
            problems.append(problem(f"{where}.context", entry["context"], "too small", remedy))
        # None is ever guessed.
        source = entry.get("llama_cpp") or {}
        needed = source.get("url") or source.get("parts") or "sha256" in source
        if needed and not DIGITS.fullmatch(str(source.get("sha256"))):
            remedy = "Give the 64 hexadecimal digits that the publisher states"
            problems.append(problem(f"{where}.llama_cpp.sha256", source.get("sha256"), "no sha256 digest", remedy))
    return problems


def check_workbench(settings: dict[str, object], root: bool) -> list[str]:
    """A server for each person needs root; what is added to the hub's configuration is Python."""
    problems, extra = [], str(settings["workbench_hub_extra"])
    if settings["workbench_kind"] == "jupyterhub" and not root:
        why = "only root can run each person's server as another account; as one, all could read each other's keys"
        remedy = "Run it as root, or use workbench_kind=jupyterlab"
        problems.append(problem("workbench_kind", "jupyterhub", why, remedy))
    try:
        compile(extra, "workbench_hub_extra", "exec")
    except SyntaxError as error:
        remedy = "Give lines as they stand in jupyterhub_config.py"
        problems.append(problem("workbench_hub_extra", extra, f"no Python: {error.msg}, line {error.lineno}", remedy))
    return problems


def check(settings: dict[str, object], root: bool, ports: set[str]) -> list[str]:
    """All problems of the lab's own settings; `ports` names those that are ports."""
    return [
        *check_forms(settings),
        *check_catalogue(settings["lab_models"]),
        *check_workbench(settings, root),
        *check_ports({name: value for name, value in settings.items() if name in ports}, root),
    ]
