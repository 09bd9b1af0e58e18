#!/usr/bin/python
"""Ansible module: check variables and host before anything is touched."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_preflight
short_description: Check the lab's variables and the host, choose profile and runtime
description:
  - Changes nothing. Collects every problem and fails with all of them at once.
options:
  settings: {description: "What may be set and is, by name.", type: dict, required: true}
  specification: {description: The options of all roles' argument specifications., type: dict, required: true}
  names: {description: All variables that there are., type: list, elements: str, required: true}
  known: {description: Those that something reads., type: list, elements: str, required: true}
  sources: {description: "Address of each source of software, by name.", type: dict, required: true}
  minimum_disk_mb: {description: Free space that a first installation needs., type: int, required: true}
  minimum_memory_mb: {description: Memory that a lab needs before it runs., type: int, required: true}
  order:
    description:
      - In the words of C(make model), a model of the lab's own to be added (C(name), C(file), C(url), C(sha256),
        C(context), C(tools)) or taken out (C(name), C(remove)); empty for none.
    type: dict
    default: {}
author: GenAI Labs
"""

RETURN = r"""
choices:
  description:
    - One line for each choice, with its reason and the variable that overrides it. The choices themselves are
      C(profile), C(manager) (systemd or supervisor), C(images) (empty without containers), C(stands) (whether there is
      a database already), C(docker) (the engine's command line and versions, empty where they are missing), C(runtime),
      C(models) (names) and C(python).
  type: list
  returned: always
catalogue: {description: All entries of models, the lab's own last., type: list, returned: always}
own: {description: The lab's own ones, type: list, returned: always}
"""

import ctypes.util
import dataclasses
import os
import platform
import shutil
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils import lab_docker, lab_host, lab_own_models, lab_peer, lab_settings

MINIMUM_PYTHON = (3, 11)
ARCHITECTURES = ("x86_64", "aarch64")
# The ports, and whose services listen there.
PORTS = {"hub_port": "hub", "postgres_port": "hub", "jupyter_port": "notebook", "runtime_port": "hub"}
SYSTEMD = "/run/systemd/system"  # is there where systemd is PID 1, see sd_booted(3)
REGISTRY = "image registry"
RUNNING_NEED_MB = 500  # what a lab that is installed already needs for logs and data


class Preflight:
    """Findings about one host."""

    def __init__(self, params):
        self.settings = params["settings"]
        self.params = params
        self.home = str(self.settings["lab_home"])
        self.root = os.geteuid() == 0
        self.problems: list[str] = []
        self.choices: list[str] = []
        self.engine = lab_docker.find()
        self.systemd = os.path.isdir(SYSTEMD)
        self.own: list[dict] = []  # the lab's models beside the catalogue
        self.catalogue: list[dict] = []  # with these

    def refuse(self, variable: str, value: object, why: str, remedy: str) -> None:
        """Keep a problem with a variable for the report."""
        self.problems.append(lab_settings.problem(variable, value, why, remedy))

    def installed(self, pattern: str) -> bool:
        """Whether the lab holds something already, as a path pattern below `lab_home`."""
        return any(Path(self.home).glob(pattern))

    def choose(self, what: str, variable: str, *options: tuple[object, str, str]) -> str:
        """Take what `variable` says, or the first of its values whose condition holds, each with its reason."""
        value, reason = str(self.settings[variable]), f"chosen by {variable}"
        if value == "auto":
            value, reason = next(option[1:] for option in options if option[0])
        self.choices.append(f"{what:<10}{value}: {reason} (override: {variable})")
        return value

    def check_variables(self) -> None:
        params = self.params
        self.problems += lab_settings.check(self.settings, self.root, set(PORTS))
        named = {line.partition("=")[0] for line in self.problems}  # better than by its type
        others = {name: value for name, value in self.settings.items() if name not in named}
        self.problems += lab_settings.check_types(params["specification"], others)
        self.problems += lab_settings.check_names(params["names"], params["known"])

    def take_own_models(self) -> None:
        """Put the lab's own models behind the catalogue's, as they are or are to be."""
        order, known = self.params["order"], {entry["name"] for entry in self.settings["lab_models"]}
        try:
            self.own = lab_own_models.read(self.home)
        except ValueError as error:
            remedy = "Remove that file and add the models again: make model"
            self.refuse("the lab's own models", str(lab_own_models.place(self.home)), str(error), remedy)
            return
        if order.get("remove"):
            self.own, problems = lab_own_models.without(self.own, order["name"])
            self.problems += problems
        elif order:
            self.add_own_model(order)
            if order["name"] in known:
                self.refuse("NAME", order["name"], "the catalogue has a model of this name", "Choose another name")
                return
        for name in sorted(known & {entry["name"] for entry in self.own}):
            remedy = f"Take the lab's own out: make model NAME={name} REMOVE=yes"
            self.refuse("lab_models", name, "the lab has a model of its own of this name", remedy)
        self.catalogue = [*self.settings["lab_models"], *self.own]

    def add_own_model(self, order: dict) -> None:
        """Look at a model that is to be added, and at the room for it."""
        entry, size, problems = lab_own_models.entry_of(order)
        self.problems += problems
        if problems:
            return
        self.own = lab_own_models.with_one(self.own, entry)
        if self.installed(f"models/llama_cpp/{entry['name']}.gguf"):
            return
        free = shutil.disk_usage(self.home).free // 2**20 - RUNNING_NEED_MB
        self.problems += lab_own_models.check_room(entry, size, lab_host.memory_available_mb(), free)

    def check_host(self) -> None:
        if platform.machine() not in ARCHITECTURES:
            machines = " and ".join(ARCHITECTURES)
            self.problems.append(f"This machine is {platform.machine()}; the lab runs on {machines}.")
        existing = next(path for path in (Path(self.home), *Path(self.home).parents) if path.exists())
        closed = lab_host.unreachable_folder(self.home) if self.root else None
        if not os.access(existing, os.W_OK | os.X_OK):
            why, remedy = f"{existing} is not yours to write to", "Choose a folder of your own: -e lab_home=…"
            self.refuse("lab_home", self.home, why, remedy)
        elif closed:
            remedy = f"Choose a folder outside it, or: chmod o+x {closed}"
            self.refuse("lab_home", self.home, f"the services' accounts cannot enter {closed}", remedy)
        need = RUNNING_NEED_MB if self.installed("venvs/gateway-*/.complete") else self.params["minimum_disk_mb"]
        free = shutil.disk_usage(existing).free // 2**20
        if free < need:
            why = f"{free} MB of disk are free, {need} MB are needed"
            self.refuse("lab_home", self.home, why, "Free some space, or choose a folder on another disk")
        data = [name for name in ("data/postgres/16/PG_VERSION", "hub.env") if self.installed(name)]
        if data and not self.installed("secrets.env"):
            why = f"it holds a lab's data ({data[0]}) without its secrets.env, which opens them"
            self.refuse("lab_home", self.home, why, "Bring secrets.env back from a backup, or choose another folder")
        memory, need = lab_host.memory_available_mb(), self.params["minimum_memory_mb"]
        if memory < need and not (self.installed("run/hub/supervisor.pid") or self.installed("run/hub/.s.PGSQL.*")):
            self.problems.append(
                f"{memory} MB of memory are available, {need} MB are needed."
                " Stop other programs, or list fewer models in lab_models."
            )

    def choose_profile(self) -> str:
        can_install = self.root and self.systemd
        profile = self.choose(
            "profile",
            "lab_profile",
            (self.installed("hub.env"), "containers", "this lab has it already"),
            (self.installed("venvs/gateway-*/.complete"), "embedded", "this lab has it already"),
            (self.engine.isolation, "embedded", "this Docker has no way to the host's network"),
            (self.engine.version, "containers", f"Docker {self.engine.version} answers"),
            (can_install, "containers", "Docker can be installed here"),
            (True, "embedded", "no Docker answers, and it could not be installed here"),
        )
        if profile == "containers":
            missing = ""
            if not self.engine.version and not can_install:
                missing = "no Docker engine answers, and only root can install one, where systemd runs it"
            elif not self.engine.compose and not self.root:
                missing = "Docker has no compose plugin (2.18 or newer)"
            if missing:
                remedy = "Start or install it, become a member of its group, or use lab_profile=embedded"
                self.refuse("lab_profile", "containers", missing, remedy)
            if self.engine.isolation:
                self.refuse("lab_profile", "containers", *lab_docker.ISOLATIONS[self.engine.isolation])
        elif self.installed("hub.env") and not self.installed("data/postgres/16/PG_VERSION"):
            remedy = "Use lab_profile=containers, or another lab_home"
            self.refuse("lab_profile", profile, "this lab's database is in a Docker volume", remedy)
        return profile

    def choose_images(self, answering: dict[str, bool]) -> str:
        source = self.choose(
            "images",
            "hub_images",
            (
                self.root and answering["PyPI"],
                "build",
                "from packages: their query engine serves the services' account alone",
            ),
            (answering[REGISTRY], "pull", "the image registries answer"),
            (True, "build", "no image registry answers: from Debian's and Python's packages"),
        )
        if source == "build" and self.engine.version and not self.engine.buildx and not self.root:
            remedy = "Install it, on Debian and Ubuntu: apt-get install docker-buildx; or use hub_images=pull"
            self.refuse("hub_images", source, "Docker has no buildx plugin to build with", remedy)
        return source

    def choose_runtime(self, answering: dict[str, bool]) -> str:
        reachable = answering["Ollama's releases"] and answering["Ollama's models"]
        return self.choose(
            "runtime",
            "lab_runtime",
            (self.installed("ollama/*/bin/ollama"), "ollama", "this lab has it already"),
            (self.installed("venvs/llama_cpp-*/.complete"), "llama_cpp", "this lab has it already"),
            (reachable, "ollama", "its releases and models can be downloaded from here"),
            (True, "llama_cpp", "Ollama's downloads do not answer from here"),
        )

    def choose_models(self, runtime: str) -> list[str]:
        """The models that the runtime is to have: all it has a source for, but none that the memory does not hold."""
        free, chosen, left = lab_host.memory_available_mb(), [], []
        for entry in (entry for entry in self.catalogue if entry.get(runtime)):
            name, need = entry["name"], int(entry.get("memory") or 0) if runtime == "llama_cpp" else 0
            if need <= free or self.installed(f"models/llama_cpp/{name}.gguf"):
                chosen.append(name)
            else:
                left.append(f"; not {name}, which needs {need} MB of memory, {free} MB are free")
        self.choices.append(f"models    {', '.join(chosen)}{''.join(left)} (override: lab_models)")
        return chosen

    def choose_python(self) -> str:
        wanted, folders = self.settings["lab_python"], ("/usr/bin", "/usr/local/bin")
        versions = [f"{folder}/python3{minor}" for folder in folders for minor in ("", ".14", ".13", ".12", ".11")]
        own = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        candidates = [*versions, own] if wanted == "auto" else [wanted]
        python = lab_host.find_python(candidates, MINIMUM_PYTHON, for_other_accounts=self.root)
        if python is None:
            remedy = "Install one, on Debian: apt-get install python3; or name it: -e lab_python=/usr/bin/python3.12"
            self.refuse("lab_python", wanted, "no Python 3.11 or newer that the services can run", remedy)
            return ""
        reason = "the first one that is new enough" + " and open to the services' accounts" * self.root
        return self.choose("python", "lab_python", (True, python, reason))

    def describe_workbench(self) -> None:
        """Say what systemd is needed for, before somebody counts on it."""
        if self.settings["workbench_kind"] == "jupyterhub":
            limits = "limits" if self.systemd else "without systemd no limits"
            self.choices.append(f"workbench jupyterhub: {limits} of memory and CPU (override: workbench_kind)")

    def check_ports(self, runtime: str) -> None:
        settings = self.settings
        ports = {name: settings[name] for name in PORTS}
        if runtime == "llama_cpp":
            served = [entry["name"] for entry in self.catalogue if entry.get("llama_cpp")]
            for offset, model in list(enumerate(served))[1:]:
                ports[f"runtime_port+{offset} (for {model})"] = int(settings["runtime_port"]) + offset
        self.problems += lab_settings.check_ports(ports, self.root)
        ephemeral = lab_host.ephemeral_ports()
        for variable, value in ports.items():
            if int(value) in ephemeral:
                why = f"Linux gives the ports {ephemeral.start} to {ephemeral.stop - 1} to outgoing connections"
                self.refuse(variable, int(value), why, f"Choose another port: -e {variable.partition('+')[0]}=…")
        # Until this run takes over a lab whose containers have a network of their own, Docker itself holds their ports.
        published = ("hub_port", "postgres_port") if self.installed("run/runtime") else ()
        for variable, value in ports.items():
            if variable in published:
                continue
            name = variable.partition("+")[0]
            if sockets := lab_peer.listeners(int(value)):
                own = lab_host.accounts_of(self.home, PORTS[name])
                # A stranger's comes first, so that it is the one that is named.
                sockets.sort(key=lambda socket: socket.uid in own)
                holder = lab_host.holder_of({sockets[0].inode})
                if sockets[0].uid not in own or holder is None or lab_host.lab_of(holder) != self.home:
                    who = lab_host.describe_holder(holder, lab_peer.account(sockets[0].uid))
                    remedy = f"Stop it, or choose another port: -e {name}=…"
                    self.refuse(variable, int(value), f"the port is taken by {who}", remedy)
            elif not self.problems and not lab_host.can_bind(str(settings["lab_bind_address"]), int(value)):
                why, remedy = f"{variable} {value} cannot be opened on it", "Use 127.0.0.1, or an address of this host"
                self.refuse("lab_bind_address", settings["lab_bind_address"], why, remedy)

    def check_runtime(self, runtime: str) -> None:
        """What a runtime needs of the host and of the catalogue."""
        missing = ""
        if runtime == "llama_cpp" and ctypes.util.find_library("gomp") is None:
            missing, package = "the library libgomp", "libgomp1"
        if runtime == "ollama" and not shutil.which("zstd") and not self.installed("ollama/*/bin/ollama"):
            missing, package = "the program zstd for its archive", "zstd"
        if missing:
            remedy = f"Install it, on Debian and Ubuntu: apt-get install {package}; or choose the other runtime"
            self.refuse("lab_runtime", runtime, f"it needs {missing}, which is not here", remedy)
        if runtime == "ollama" and self.params["order"] and not self.params["order"].get("remove"):
            remedy = "Add an entry with ollama: {tag: …} to lab_models and run make up; see Add a model in README.md"
            self.refuse("NAME", self.params["order"]["name"], "Ollama serves this lab's models, by their tags", remedy)
        sources = {entry["name"]: entry[runtime] for entry in self.catalogue if entry.get(runtime)}
        if not sources:
            remedy = f"Add {runtime} to an entry of lab_models, or choose the other runtime"
            self.refuse("lab_runtime", runtime, "no model of the catalogue has a source for it", remedy)
        for name, source in sources.items():
            # What was copied and compared with its digest is not needed any more.
            path = (
                "" if source.get("sha256") and self.installed(f"models/llama_cpp/{name}.gguf") else source.get("file")
            )
            if path and (why := lab_host.no_model(path)):
                self.refuse(f"lab_models[{name}].llama_cpp.file", path, why, "Name a GGUF file on this host")

    def run(self, module) -> dict:
        self.check_variables()
        if self.problems:  # the rest builds on sound variables
            module.fail_json(msg=report(self.problems))
        self.take_own_models()
        if self.problems:
            module.fail_json(msg=report(self.problems))
        self.check_host()
        sources = self.params["sources"]
        if self.settings["lab_profile"] == "embedded":
            sources = {name: url for name, url in sources.items() if name != REGISTRY}
        answering = lab_host.probe_sources(sources)
        words = ", ".join(f"{name} {'answers' if ok else 'does not answer'}" for name, ok in answering.items())
        profile = self.choose_profile()
        images = self.choose_images(answering) if profile == "containers" else ""
        runtime = self.choose_runtime(answering)
        models = self.choose_models(runtime)
        python = self.choose_python()
        self.choices.append(f"sources   {words}")
        self.describe_workbench()
        self.check_ports(runtime)
        self.check_runtime(runtime)
        if self.problems:
            module.fail_json(msg=report(self.problems))
        return {
            "changed": False,
            "choices": self.choices,
            "profile": profile,
            "manager": "systemd" if self.root and self.systemd else "supervisor",
            "images": images,
            "docker": dataclasses.asdict(self.engine),
            "runtime": runtime,
            "models": models,
            "catalogue": self.catalogue,
            "own": self.own,
            "python": python,
            "stands": self.installed("data/postgres/16/PG_VERSION") or self.installed("hub.env"),
        }


def report(problems: list[str]) -> str:
    """All findings in one message."""
    return "The lab cannot be set up like this:\n" + "\n".join(f"- {line}" for line in problems)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "specification": {"type": "dict", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "known": {"type": "list", "elements": "str", "required": True},
            "sources": {"type": "dict", "required": True},
            "minimum_disk_mb": {"type": "int", "required": True},
            "minimum_memory_mb": {"type": "int", "required": True},
            "order": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    module.exit_json(**Preflight(module.params).run(module))


if __name__ == "__main__":
    main()
