#!/usr/bin/python
"""Ansible module: what of a lab runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_status
short_description: What of a lab runs, where, since when, and how much it uses
description:
  - Looks at the lab's services, whatever runs them, and sends none of them anything.
  - A service that is to listen runs once its own processes, or the engine for a container, hold the port.
options:
  home:
    description: The lab's folder.
    type: path
    required: true
  project:
    description: Name of its compose project.
    type: str
    required: true
  places:
    description: Address and port of each kind of service that listens, by the name up to a hyphen.
    type: dict
    required: true
author: GenAI Labs
"""

RETURN = r"""
lines:
  description: A line for each service.
  type: list
  returned: always
down:
  description: The services that do not run.
  type: list
  returned: always
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils import lab_docker, lab_peer
from ansible.module_utils.lab_host import account_of, uid_of
from ansible.module_utils.lab_supervisor import connect
from ansible.module_utils.lab_systemd import Systemd, marked_files, unit_of

SAMPLE_S = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
UPTIME = Path("/proc/uptime")


@dataclass
class Service:
    """One service; `pid` is its main process, 0 where none runs, and `state` its manager's word for it."""

    name: str
    state: str
    pid: int = 0
    by: str = "supervisor"
    ticks: int = 0
    processes: list[int] = field(default_factory=list)


def supervised(home: str) -> list[Service]:
    """The services that the two supervisords are to run."""
    found = []
    for instance in ("hub", "notebook"):
        names = sorted(path.stem for path in Path(f"{home}/supervisor/{instance}.d").glob("*.conf"))
        supervisor = connect(home, instance) if names else None
        told = {entry["name"]: entry for entry in supervisor.getAllProcessInfo()} if supervisor else {}
        account = account_of(home, instance)
        for name in names:
            entry = told.get(name, {"statename": "its supervisor is down", "pid": 0})
            pid = entry["pid"] if uid_of(entry["pid"]) == account else 0
            found.append(Service(name, str(entry["statename"]).lower(), pid))
    return found


def units(module: AnsibleModule) -> list[Service]:
    """The services that systemd is to run."""
    systemd = Systemd(module)
    found = []
    for service, files in marked_files(module.params["home"]).items():
        told = systemd.properties(unit_of(files[0]), "ActiveState", "MainPID")
        name = service.partition("/")[2]
        found.append(Service(name, told["ActiveState"], int(told["MainPID"] or 0), "systemd"))
    return found


def containers(home: str, project: str) -> list[Service]:
    """The services of the compose project."""
    if not os.path.exists(f"{home}/hub.env"):
        return []
    cli = lab_docker.find().cli
    found = {name: Service(name, "there is no container", by="docker") for name in ("database", "gateway")}
    label = "com.docker.compose"
    listed = lab_docker.output_of(cli, "ps", "--all", "--quiet", "--filter", f"label={label}.project={project}")
    shown = f'{{{{index .Config.Labels "{label}.service"}}}} {{{{.State.Pid}}}} {{{{.State.Status}}}}'
    lines = lab_docker.output_of(cli, "inspect", "--format", shown, *listed.split()) if listed else ""
    for name, pid, state in map(str.split, lines.splitlines()):
        found[name] = Service(name, state, int(pid), "docker")
    return list(found.values())


def stat_of(process: int) -> list[str]:
    """The fields of proc(5)'s stat after the name, none for a process that is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def trees(roots: set[int]) -> dict[int, list[int]]:
    """Each root with all processes below it."""
    children: dict[int, list[int]] = {}
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if fields := stat_of(process):
            children.setdefault(int(fields[1]), []).append(process)

    def below(process: int) -> list[int]:
        return [process, *(found for child in children.get(process, []) for found in below(child))]

    return {root: below(root) for root in roots}


def ticks_of(processes: list[int]) -> int:
    """Processor time so far."""
    return sum(int(fields[11]) + int(fields[12]) for process in processes if (fields := stat_of(process)))


def memory_of(process: int) -> int:
    """Memory in bytes: shared parts divided among those that share them, where the kernel tells us."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        fields = stat_of(process)
        return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def listening() -> dict[str, str]:
    """Address and port of every listening socket, by its inode."""
    found = {}
    for table in lab_peer.TABLES:
        lines = Path(table).read_text().splitlines()[1:] if os.path.exists(table) else []
        for fields in map(str.split, lines):
            if fields[3] == lab_peer.LISTEN:
                address, port = lab_peer.place(fields[1])
                found[fields[9]] = f"{address}:{port}"
    return found


def held(processes: list[int], sockets: dict[str, str]) -> list[str]:
    """Where the processes listen, as far as they are ours to look at."""
    found = set()
    for process in processes:
        try:
            links = [os.readlink(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")]
        except OSError:
            continue
        found |= {sockets[link[8:-1]] for link in links if link.startswith("socket:[") and link[8:-1] in sockets}
    return sorted(found)


def since(process: int) -> str:
    """When a process began, in the host's time."""
    began = time.time() - float(UPTIME.read_text().split()[0]) + int(stat_of(process)[19]) / TICKS
    return time.strftime("%d %b %H:%M", time.localtime(began))


def report(service: Service, sockets: dict[str, str], places: dict[str, str], passed_s: float) -> tuple[str, bool]:
    """The service's line, and whether it runs."""
    wanted = places.get(service.name.partition("-")[0])
    if not service.pid or not stat_of(service.pid):
        return f"{service.name:<18} DOWN ({service.by}: {service.state})", False
    found = held(service.processes, sockets)
    if not found and service.by == "docker" and wanted in sockets.values():
        found = [str(wanted)]  # published by the engine, or by processes that only root sees into
    ready = bool(found or not wanted)
    found = [str(wanted)] if wanted in found else found  # not what it has for its own parts
    megabytes = sum(map(memory_of, service.processes)) // 2**20
    percent = 100 * (ticks_of(service.processes) - service.ticks) / TICKS / passed_s
    place = ", ".join(found) or ("NOT READY" if wanted else "")
    line = f"{service.name:<18} {place:<22} since {since(service.pid)} {megabytes:>6} MB {percent:>4.0f} % CPU"
    return f"{line}  {service.by}", ready


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "project": {"type": "str", "required": True},
            "places": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    home, places = module.params["home"], module.params["places"]
    services = [*supervised(home), *units(module), *containers(home, module.params["project"])]
    below = trees({service.pid for service in services if service.pid})
    for service in services:
        service.processes = below.get(service.pid, [])
        service.ticks = ticks_of(service.processes)
    began = time.monotonic()
    time.sleep(SAMPLE_S)
    sockets, passed_s = listening(), time.monotonic() - began
    lines = {service.name: report(service, sockets, places, passed_s) for service in services}
    down = [name for name, (_, runs) in lines.items() if not runs]
    module.exit_json(changed=False, lines=[line for line, _ in lines.values()], down=down)


if __name__ == "__main__":
    main()
