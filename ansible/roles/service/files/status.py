"""What runs of a lab: `status.py HOME DOCKER PROJECT NAME=ADDRESS:PORT …` prints a line for each service.

The exit code is 1 where one is down. The services are those that the lab described to its supervisors or to systemd,
and the containers of its compose project; a process belongs to one by its account and the mark in its environment.
Nothing is sent to any, a model is not woken.
"""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CONNECT_S = 2.0
LABEL = "com.docker.compose"
LISTED = f'{{{{.Label "{LABEL}.service"}}}}\t{{{{.State}}}}\t{{{{.Status}}}}\t{{{{.ID}}}}'


def described(home: str) -> list[str]:
    """The services that are to run, each with its instance: hub/gateway."""
    found = [f"{path.parent.name[:-2]}/{path.stem}" for path in Path(home, "supervisor").glob("*.d/*.conf")]
    for unit in Path("/etc/systemd/system").glob("genailabs*.service"):
        mark = re.match(rf"# GenAI Labs, {re.escape(home)}: (\S+)\n", unit.read_text(errors="replace"))
        found += [mark[1]] if mark else []
    return sorted(found)


def processes(home: str) -> dict[str, list[Path]]:
    """The processes of each service, the oldest first."""
    found: dict[str, list[Path]] = {}
    accounts = {path.stat().st_uid for path in (*Path(home, "run").glob("*"), *Path(home, "data").glob("ollama"))}
    for process in sorted((path for path in Path("/proc").iterdir() if path.name.isdigit()), key=lambda p: int(p.name)):
        try:
            mark = re.search(rb"(?:^|\0)LAB_SERVICE=([^\0]+)", (process / "environ").read_bytes())
            if mark and process.stat().st_uid in accounts and mark[1].decode().startswith(f"{home}:"):
                found.setdefault(mark[1].decode().removeprefix(f"{home}:"), []).append(process)
        except OSError:  # gone, or not ours to look at
            continue
    return found


def usage(service: list[Path]) -> str:
    """Since when a service runs, its memory, and how much of a core it has had on average."""
    fields = []
    for process in service:
        try:
            fields.append([int(word) for word in (process / "stat").read_text().rsplit(")", 1)[1].split()[1:]])
        except OSError:
            continue
    up = float(Path("/proc/uptime").read_text().split()[0])
    age = max(1.0, up - min(field[18] for field in fields) / TICKS)
    cores = sum(field[10] + field[11] for field in fields) / TICKS / age
    since = time.strftime("%d %b %H:%M", time.localtime(time.time() - age))
    return f"since {since}  {sum(field[20] for field in fields) * PAGE // 2**20:>6} MB  {cores:>5.0%} CPU"


def answers(place: str) -> bool:
    """Whether something listens there."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host if host != "0.0.0.0" else "127.0.0.1", int(port)), CONNECT_S).close()
    except OSError:
        return False
    return True


def containers(docker: str, project: str) -> list[tuple[str, bool, str]]:
    """The containers of a project: service, whether it runs, and Docker's words for it."""
    listed = [docker, "ps", "--all", "--filter", f"label={LABEL}.project={project}", "--format", LISTED]
    lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    found = []
    for name, state, status, identity in (line.split("\t") for line in lines):
        stats = [docker, "stats", "--no-stream", "--format", "{{.MemUsage}}  {{.CPUPerc}} CPU", identity]
        used = subprocess.run(stats, capture_output=True, text=True, check=False).stdout.split(" / ")
        runs = state == "running" and "unhealthy" not in status
        found.append((name, runs, f"{status}  {used[0]}  {used[-1].partition('  ')[2].strip()}".rstrip()))
    return sorted(found)


def main() -> int:
    """Print the lines; return the exit code."""
    home, docker, project, *named = sys.argv[1:]
    places = dict(word.split("=", 1) for word in named)
    running, found = processes(home), []
    for service in described(home):
        there = running.get(service)
        found.append((service.partition("/")[2], bool(there), usage(there) if there else ""))
    if docker and Path(home, "hub.env").exists():
        found += containers(docker, project)
    down = 0
    for name, runs, words in found:
        place = places.get(name.partition("-")[0], "")
        ready = runs and (not place or answers(place))
        down += not ready
        print(f"{name:<20} {place:<22} {words if ready else ('NOT READY  ' + words if runs else 'DOWN')}")
    return 1 if down or not found else 0


if __name__ == "__main__":
    sys.exit(main())
