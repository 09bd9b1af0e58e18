#!/usr/bin/python
"""Ansible module: check variables and host before anything is touched."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_preflight
short_description: Check the lab's variables and the host, choose profile and runtime
description:
  - Changes nothing. Collects every problem and fails with all of them at once.
options:
  settings:
    description: What may be set and is, by name.
    type: dict
    required: true
  specification:
    description: The options of all roles' argument specifications.
    type: dict
    required: true
  names:
    description: All variables that there are.
    type: list
    elements: str
    required: true
  known:
    description: Those that something reads.
    type: list
    elements: str
    required: true
  sources:
    description: Address of each source of software, by name.
    type: dict
    required: true
  minimum_disk_mb:
    description: Free space that a first installation needs.
    type: int
    required: true
  minimum_memory_mb:
    description: Memory that must be available when the lab is not running yet.
    type: int
    required: true
author: GenAI Labs
"""

RETURN = r"""
choices:
  description: One line for each choice, with its reason and the variable that overrides it.
  type: list
  returned: always
profile:
  description: The profile.
  type: str
  returned: always
manager:
  description: What runs the services, systemd or supervisor.
  type: str
  returned: always
images:
  description: Where the hub's images come from, empty where it runs without containers.
  type: str
  returned: always
docker:
  description: The engine's command line, its plugins' versions and what is in its way; empty where it is missing.
  type: dict
  returned: always
runtime:
  description: The model runtime.
  type: str
  returned: always
python:
  description: Interpreter for the services.
  type: str
  returned: always
sources:
  description: Whether each source answered.
  type: dict
  returned: always
"""

import ctypes.util
import dataclasses
import os
import platform
import shutil
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils import lab_docker, lab_host, lab_peer, lab_settings

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

    def refuse(self, variable: str, value: object, why: str, remedy: str) -> None:
        """Keep a problem with a variable for the report."""
        self.problems.append(lab_settings.problem(variable, value, why, remedy))

    def installed(self, pattern: str) -> bool:
        """Whether the lab holds something already, as a path pattern below `lab_home`."""
        return any(Path(self.home).glob(pattern))

    def check_variables(self) -> None:
        params = self.params
        self.problems += lab_settings.check(self.settings, self.root, set(PORTS))
        named = {line.partition("=")[0] for line in self.problems}  # better than by its type
        others = {name: value for name, value in self.settings.items() if name not in named}
        self.problems += lab_settings.check_types(params["specification"], others)
        self.problems += lab_settings.check_names(params["names"], params["known"])

    def check_host(self) -> None:
        if platform.machine() not in ARCHITECTURES:
            self.problems.append(
                f"This machine is {platform.machine()}; the lab runs on {' and '.join(ARCHITECTURES)}."
            )
        existing = Path(self.home)
        while not existing.exists():
            existing = existing.parent
        if not os.access(existing, os.W_OK | os.X_OK):
            self.refuse(
                "lab_home",
                self.home,
                f"{existing} is not yours to write to",
                "Choose a folder of your own: -e lab_home=…",
            )
        elif self.root and (closed := lab_host.unreachable_folder(self.home)):
            self.refuse(
                "lab_home",
                self.home,
                f"the services' accounts cannot enter {closed}",
                f"Choose a folder outside it, or: chmod o+x {closed}",
            )
        need = RUNNING_NEED_MB if self.installed("venvs/gateway-*/.complete") else self.params["minimum_disk_mb"]
        free = shutil.disk_usage(existing).free // 2**20
        if free < need:
            self.refuse(
                "lab_home",
                self.home,
                f"{free} MB of disk are free, {need} MB are needed",
                "Free some space, or choose a folder on another disk",
            )
        data = [name for name in ("data/postgres/16/PG_VERSION", "hub.env") if self.installed(name)]
        if data and not self.installed("secrets.env"):
            self.refuse(
                "lab_home",
                self.home,
                f"it holds a lab's data ({data[0]}) without its secrets.env, which opens them",
                "Bring secrets.env back from a backup, or choose another folder",
            )
        memory, need = lab_host.memory_available_mb(), self.params["minimum_memory_mb"]
        if memory < need and not os.path.exists(f"{self.home}/run/hub/supervisor.pid"):
            self.problems.append(
                f"{memory} MB of memory are available, {need} MB are needed."
                " Stop other programs, or list fewer models in lab_models."
            )

    def choose_profile(self) -> str:
        wanted = self.settings["lab_profile"]
        if wanted != "auto":
            profile, reason = wanted, "chosen by lab_profile"
        elif self.installed("hub.env"):
            profile, reason = "containers", "this lab has it already"
        elif self.installed("venvs/gateway-*/.complete"):
            profile, reason = "embedded", "this lab has it already"
        elif self.engine.isolation:
            profile, reason = "embedded", "this Docker has no way to the host's network"
        elif self.engine.version:
            profile, reason = "containers", f"Docker {self.engine.version} answers"
        elif self.root and self.systemd:
            profile, reason = "containers", "Docker can be installed here"
        else:
            profile, reason = "embedded", "no Docker answers, and it could not be installed here"
        self.choices.append(f"profile   {profile}: {reason} (override: lab_profile)")
        if profile == "containers":
            self.check_containers()
        elif self.installed("hub.env") and not self.installed("data/postgres/16/PG_VERSION"):
            self.refuse(
                "lab_profile",
                wanted,
                "this lab's database is in a Docker volume",
                "Use lab_profile=containers, or another lab_home",
            )
        return profile

    def check_containers(self) -> None:
        """What the profile needs of the host, where the role cannot bring it."""
        missing = ""
        if not self.engine.version and not (self.root and self.systemd):
            missing = "no Docker engine answers, and only root can install one, where systemd runs it"
        elif not self.engine.compose and not self.root:
            missing = "Docker has no compose plugin (2.18 or newer)"
        if missing:
            self.refuse(
                "lab_profile",
                "containers",
                missing,
                "Start or install it, become a member of its group, or use lab_profile=embedded",
            )
        if self.engine.isolation:
            self.refuse("lab_profile", "containers", *lab_docker.ISOLATIONS[self.engine.isolation])

    def choose_images(self, answering: dict[str, bool]) -> str:
        wanted = self.settings["hub_images"]
        if wanted != "auto":
            source, reason = wanted, "chosen by hub_images"
        elif self.root and answering["PyPI"]:
            source, reason = "build", "from packages: their query engine serves the services' account alone"
        elif answering[REGISTRY]:
            source, reason = "pull", "the image registries answer"
        else:
            source, reason = "build", "no image registry answers: from Debian's and Python's packages"
        self.choices.append(f"images    {source}: {reason} (override: hub_images)")
        if source == "build" and self.engine.version and not self.engine.buildx and not self.root:
            self.refuse(
                "hub_images",
                wanted,
                "Docker has no buildx plugin to build with",
                "Install it, on Debian and Ubuntu: apt-get install docker-buildx; or use hub_images=pull",
            )
        return source

    def choose_runtime(self, answering: dict[str, bool]) -> str:
        wanted = self.settings["lab_runtime"]
        if wanted != "auto":
            runtime, reason = wanted, "chosen by lab_runtime"
        elif self.installed("ollama/*/bin/ollama"):
            runtime, reason = "ollama", "this lab has it already"
        elif self.installed("venvs/llama_cpp-*/.complete"):
            runtime, reason = "llama_cpp", "this lab has it already"
        elif answering["Ollama's releases"] and answering["Ollama's models"]:
            runtime, reason = "ollama", "its releases and models can be downloaded from here"
        else:
            runtime, reason = "llama_cpp", "Ollama's downloads do not answer from here"
        self.choices.append(f"runtime   {runtime}: {reason} (override: lab_runtime)")
        return runtime

    def choose_python(self) -> str:
        wanted = self.settings["lab_python"]
        if wanted != "auto":
            candidates, reason = [wanted], "chosen by lab_python"
        else:
            versions = [
                f"{folder}/python3{minor}"
                for folder in ("/usr/bin", "/usr/local/bin")
                for minor in ("", ".14", ".13", ".12", ".11")
            ]
            candidates = [*versions, os.path.realpath(getattr(sys, "_base_executable", sys.executable))]
            reason = "the first one that is new enough" + (" and open to the services' accounts" if self.root else "")
        python = lab_host.find_python(candidates, MINIMUM_PYTHON, for_other_accounts=self.root)
        if python is None:
            self.refuse(
                "lab_python",
                wanted,
                "no Python 3.11 or newer that the services can run",
                "Install one, on Debian: apt-get install python3; or name it: -e lab_python=/usr/bin/python3.12",
            )
            return ""
        self.choices.append(f"python    {python}: {reason} (override: lab_python)")
        return python

    def check_ports(self, runtime: str) -> None:
        settings = self.settings
        ports = {name: settings[name] for name in PORTS}
        if runtime == "llama_cpp":
            served = [entry["name"] for entry in settings["lab_models"] if entry.get("llama_cpp")]
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
                    self.refuse(
                        variable,
                        int(value),
                        f"the port is taken by {lab_host.describe_holder(holder, lab_peer.account(sockets[0].uid))}",
                        f"Stop it, or choose another port: -e {name}=…",
                    )
            elif not self.problems and not lab_host.can_bind(str(settings["lab_bind_address"]), int(value)):
                self.refuse(
                    "lab_bind_address",
                    settings["lab_bind_address"],
                    f"{variable} {value} cannot be opened on it",
                    "Use 127.0.0.1, or an address of this host",
                )

    def check_libraries(self, runtime: str) -> None:
        if runtime == "llama_cpp" and ctypes.util.find_library("gomp") is None:
            self.refuse(
                "lab_runtime",
                runtime,
                "llama.cpp needs the library libgomp, which is not here",
                "Install it, on Debian and Ubuntu: apt-get install libgomp1",
            )
        if runtime == "ollama" and not shutil.which("zstd") and not self.installed("ollama/*/bin/ollama"):
            self.refuse(
                "lab_runtime",
                runtime,
                "its archive needs the program zstd, which is not here",
                "Install it, on Debian and Ubuntu: apt-get install zstd; or choose -e lab_runtime=llama_cpp",
            )

    def check_runtime_models(self, runtime: str) -> None:
        if not any(entry.get(runtime) for entry in self.settings["lab_models"]):
            self.refuse(
                "lab_runtime",
                runtime,
                "no model of the catalogue has a source for it",
                f"Add {runtime} to an entry of lab_models, or choose the other runtime",
            )

    def run(self, module) -> dict:
        self.check_variables()
        if self.problems:  # the rest builds on sound variables
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
        python = self.choose_python()
        self.choices.append(f"sources   {words}")
        self.check_ports(runtime)
        self.check_libraries(runtime)
        self.check_runtime_models(runtime)
        if self.problems:
            module.fail_json(msg=report(self.problems))
        return {
            "changed": False,
            "choices": self.choices,
            "profile": profile,
            "manager": "systemd" if profile == "containers" and self.root and self.systemd else "supervisor",
            "images": images,
            "docker": dataclasses.asdict(self.engine),
            "runtime": runtime,
            "python": python,
            "sources": answering,
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
        },
        supports_check_mode=True,
    )
    module.exit_json(**Preflight(module.params).run(module))


if __name__ == "__main__":
    main()
