"""Checks of the lab's variables: each problem names the variable, its value and the remedy."""

from __future__ import annotations

import difflib
import ipaddress
import re

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
HOME = re.compile(r"/[A-Za-z0-9._/-]+")
SHA256 = re.compile(r"[0-9a-f]{64}")
ROUTE = re.compile(r"(/[A-Za-z0-9._-]+)+")
LONGEST_HOME = 75  # a Unix socket below it must stay under the kernel's 107 characters
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
PROFILES = ("auto", "embedded", "containers")
HUB_IMAGES = ("auto", "pull", "build")
DIGEST = re.compile(r"(sha256:[0-9a-f]{64})?")
RUNTIMES = ("auto", "ollama", "llama_cpp")
GGUF_SOURCES = ("wheel", "file", "url")
# Nobody else's variables begin like this; others count as misspelt only where they are close to a known name.
OWN_PREFIXES = ("lab_", "hub_", "gateway_", "notebook_", "genailab")
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
            remedy = f"Did you mean {nearest[0]}?" if nearest else "ansible/roles/*/README.md lists what there is"
            problems.append(f"{name}: no such variable. {remedy}")
    return problems


def check_types(specification: dict[str, dict], given: dict[str, object]) -> list[str]:
    """Values are of the types, and among the choices, that the roles' specifications name."""
    problems = []
    for name in sorted(specification.keys() & given.keys()):
        option = {key: value for key, value in specification[name].items() if key not in ("description", "default")}
        result = ArgumentSpecValidator({name: option}).validate({name: given[name]})
        for message in result.error_messages:
            why = f"not of type {option['type']}" if "unable to convert" in message else message
            problems.append(problem(name, given[name], why, "See the page of its role, ansible/roles/*/README.md"))
    return problems


def check_choice(variable: str, value: object, allowed: tuple[str, ...]) -> list[str]:
    """A variable with a fixed set of values."""
    if value in allowed:
        return []
    return [problem(variable, value, "no such choice", f"Use one of: {', '.join(allowed)}")]


def check_ports(ports: dict[str, object], root: bool) -> list[str]:
    """Ports are numbers, permitted for the caller, and differ from each other."""
    problems, owners = [], {}
    for variable, value in ports.items():
        if not str(value).isdigit() or not 0 < int(str(value)) < 65536:
            problems.append(problem(variable, value, "not a port number", "Use a number from 1024 to 65535"))
            continue
        port = int(str(value))
        if port < 1024 and not root:
            problems.append(problem(variable, value, "ports below 1024 are root's", "Use a number from 1024 to 65535"))
        if port in owners:
            problems.append(
                problem(variable, value, f"the same port as {owners[port]}", f"Choose another port for {variable}")
            )
        owners.setdefault(port, variable)
    return problems


def check_origins(origins: object) -> list[str]:
    """Web origins are scheme, host and port, as browsers send them."""
    remedy = "Use one such as https://chat.example.org, without a path"
    listed = origins if isinstance(origins, list) else [origins]
    wrong = [origin for origin in listed if not ORIGIN.fullmatch(str(origin))]
    return [problem("hub_cors_origins", origin, "not a web origin", remedy) for origin in wrong]


def check_digest(variable: str, value: str) -> list[str]:
    """An image's digest, or nothing."""
    if DIGEST.fullmatch(value):
        return []
    return [problem(variable, value, "not a digest", "Give sha256: and 64 hexadecimal digits, or leave it empty")]


def check_home(home: str) -> list[str]:
    """`lab_home` is an absolute path that a socket and a configuration file can hold."""
    if not HOME.fullmatch(home) or "/../" in home + "/":
        return [
            problem(
                "lab_home", home, "not an absolute path of letters, digits and ._-/", "Use one such as /srv/genailab"
            )
        ]
    if len(home) > LONGEST_HOME:
        return [problem("lab_home", home, f"longer than {LONGEST_HOME} characters", "Choose a shorter path")]
    return []


def check_address(address: str) -> list[str]:
    """`lab_bind_address` is an IPv4 address."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return [
            problem("lab_bind_address", address, "not an IPv4 address", "Use 127.0.0.1, or an address of this host")
        ]
    return []


def check_number(variable: str, value: object, minimum: float) -> list[str]:
    """A number that is at least `minimum`."""
    try:
        if float(str(value)) >= minimum:
            return []
    except ValueError:
        pass
    return [
        problem(variable, value, "not a number" if not _is_number(value) else "too small", f"Use {minimum:g} or more")
    ]


def check_routes(variable: str, value: object) -> list[str]:
    """Paths of the gateway; names of groups and patterns would open what nobody sees in them."""
    routes = value if isinstance(value, list) else [value]
    wrong = [route for route in routes if not isinstance(route, str) or not ROUTE.fullmatch(route)]
    if isinstance(value, list) and not wrong:
        return []
    return [problem(variable, wrong[0] if wrong else value, "not a list of paths", 'Use one such as ["/v1/rerank"]')]


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def check_catalogue(models: object) -> list[str]:
    """The model catalogue: names, sources and sizes of every entry."""
    if not isinstance(models, list) or not models:
        return [
            problem("lab_models", models, "not a list of models", "See ansible/group_vars/all/models.yml for the form")
        ]
    problems: list[str] = []
    seen: set[str] = set()
    for position, entry in enumerate(models):
        where = f"lab_models[{position}]"
        if not isinstance(entry, dict) or not NAME.fullmatch(str(entry.get("name", ""))):
            problems.append(
                problem(where, entry, "no valid name", "Give it a name of lower-case letters, digits and ._-")
            )
            continue
        where = f"lab_models[{entry['name']}]"
        if entry["name"] in seen:
            problems.append(problem(where, entry["name"], "listed twice", "Remove one of the two entries"))
        seen.add(entry["name"])
        problems += check_entry(where, entry)
    return problems


def check_entry(where: str, entry: dict) -> list[str]:
    """Sources and context of one catalogue entry."""
    problems = []
    known = ("name", "context", "ollama", "llama_cpp", "price", "tools", "vision")
    unknown = sorted(set(entry) - set(known))
    if unknown:
        problems.append(problem(where, unknown[0], "unknown key", f"Known: {', '.join(known)}"))
    problems += [
        problem(f"{where}.{ability}", entry[ability], "neither true nor false", "Write true or false, or leave it out")
        for ability in ("tools", "vision")
        if not isinstance(entry.get(ability, True), bool)
    ]
    if not str(entry.get("context", "")).isdigit() or int(entry["context"]) < 256:
        problems.append(
            problem(f"{where}.context", entry.get("context"), "not a context in tokens", "Use a number from 256 on")
        )
    ollama, gguf = entry.get("ollama"), entry.get("llama_cpp")
    if ollama is None and gguf is None:
        problems.append(
            problem(where, entry["name"], "no source", "Give it ollama.tag or llama_cpp.wheel, .file or .url")
        )
    if ollama is not None and not (isinstance(ollama, dict) and ollama.get("tag")):
        problems.append(problem(f"{where}.ollama", ollama, "no tag", "Write for example {tag: 'qwen2.5:0.5b'}"))
    if gguf is not None:
        problems += check_gguf(f"{where}.llama_cpp", gguf)
    return problems


def check_gguf(where: str, source: object) -> list[str]:
    """Exactly one source of a GGUF file, and a digest for a download: none is ever guessed."""
    given = [kind for kind in GGUF_SOURCES if isinstance(source, dict) and source.get(kind)]
    if len(given) != 1:
        return [problem(where, source, "needs exactly one source", "Give one of wheel, file, url")]
    assert isinstance(source, dict)
    if given == ["url"] and not SHA256.fullmatch(str(source.get("sha256", ""))):
        return [
            problem(
                f"{where}.sha256",
                source.get("sha256"),
                "no sha256 digest",
                "Give the 64 hexadecimal digits that the publisher states",
            )
        ]
    return []


def check(settings: dict[str, object], root: bool, ports: set[str]) -> list[str]:
    """All problems of the lab's own settings; `ports` names those that are ports."""
    problems = [
        *check_choice("lab_profile", settings["lab_profile"], PROFILES),
        *check_choice("lab_runtime", settings["lab_runtime"], RUNTIMES),
        *check_choice("hub_images", settings["hub_images"], HUB_IMAGES),
        *check_digest("hub_gateway_digest", str(settings["hub_gateway_digest"])),
        *check_digest("hub_database_digest", str(settings["hub_database_digest"])),
        *check_origins(settings["hub_cors_origins"]),
        *check_home(str(settings["lab_home"])),
        *check_address(str(settings["lab_bind_address"])),
        *check_catalogue(settings["lab_models"]),
        *check_ports({name: value for name, value in settings.items() if name in ports}, root),
        *check_routes("hub_key_routes_extra", settings["hub_key_routes_extra"]),
    ]
    for variable, minimum in (("lab_parallel_requests", 1), ("notebook_budget", 0.01)):
        problems += check_number(variable, settings[variable], minimum)
    return problems
