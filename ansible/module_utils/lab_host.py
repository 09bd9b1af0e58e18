"""What the preflight learns from the host: listening ports and who holds them, interpreters, reachable folders."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PROBE_TIMEOUT_S = 4.0
NO_ACCOUNT = -1
SUPERVISED_LAB = re.compile(r"supervisord.* -c (\S+)/supervisor/(\w+)\.conf")
MARKED = re.compile(rb"^LAB_SERVICE=(.+):(\w+)/", re.DOTALL)  # in the environment of every process of a lab


def account_of(home: str, instance: str) -> int:
    """The account that a lab's services of one instance run as, one that nobody has where there is no such lab.

    It owns the folder of their sockets, which lies in a folder of the account that made the lab: nobody else can give
    it away or put another in its place.
    """
    try:
        return os.lstat(f"{home}/run/{instance}").st_uid
    except OSError:
        return NO_ACCOUNT


def accounts_of(home: str, instance: str) -> set[int]:
    """The accounts of an instance's processes: containers have the hub's; as a systemd unit, Ollama has its own."""
    instance = "hub" if instance == "containers" else instance
    folders = [f"{home}/run/{instance}", *([f"{home}/data/ollama"] if instance == "hub" else [])]
    return {os.lstat(folder).st_uid for folder in folders if os.path.isdir(folder)}


def uid_of(process: int) -> int | None:
    """The account that a process runs as, None where it has several (a set-user-id program) or is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^Uid:\t(\d+)\t\1\t\1\t\1$", status, re.MULTILINE)
    return int(found[1]) if found else None


def holder_of(inodes: set[str]) -> int | None:
    """Process id that has one of the sockets open, None where the kernel does not let us see it."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{process}/fd"):
                if os.readlink(f"/proc/{process}/fd/{descriptor}") in wanted:
                    return int(process)
        except OSError:  # gone meanwhile, or another user's
            continue
    return None


def marked_lab(pid: int) -> tuple[str, str] | None:
    """`lab_home` and instance in the environment that a lab's service was started with, None where none is seen."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    mark = next(filter(None, map(MARKED.match, environment)), None)
    return (mark[1].decode(errors="replace"), mark[2].decode()) if mark else None


def lab_of(pid: int) -> str | None:
    """`lab_home` of the lab whose service process `pid` belongs to, None if it is no lab's.

    Anybody can mark a process, or name one like a supervisor: of another account than the service's it does not count.
    """
    while pid > 1:
        if (mark := marked_lab(pid)) and uid_of(pid) in accounts_of(*mark):
            return mark[0]
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        if (found := SUPERVISED_LAB.search(command)) and uid_of(pid) in accounts_of(found[1], found[2]):
            return found[1]
        pid = int(status.rsplit(")", 1)[1].split()[1])
    return None


def describe_holder(pid: int | None, account: str) -> str:
    """Words for a message: which process, whose, and of which lab."""
    if pid is None:
        return f"a process of account {account}"
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        name = "a process"
    home = lab_of(pid)
    return f"{name} (pid {pid}, account {account}" + (f", of the lab in {home})" if home else ")")


def unreachable_folder(path: str) -> str | None:
    """First folder on the way to `path` that other accounts may not enter, None if all are open."""
    for folder in reversed([Path(path), *Path(path).parents]):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return str(folder)
    return None


def python_version(executable: str) -> tuple[int, int] | None:
    """Version of an interpreter as (major, minor), None if it does not run."""
    ask = [executable, "-I", "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(r"(\d+) (\d+)\s*", answer)
    return (int(found[1]), int(found[2])) if found else None


def find_python(candidates: list[str], minimum: tuple[int, int], for_other_accounts: bool) -> str | None:
    """First interpreter that is new enough and, if asked, can be run by other accounts."""
    for candidate in candidates:
        if for_other_accounts and unreachable_folder(os.path.dirname(os.path.realpath(candidate))):
            continue
        if (python_version(candidate) or (0, 0)) >= minimum:
            return candidate
    return None


def no_model(path: str) -> str:
    """Why a file is no model in GGUF's format, empty if it is one."""
    try:
        with open(path, "rb") as file:
            return "" if file.read(4) == b"GGUF" else "it is no GGUF file"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def answers(url: str) -> bool:
    """Whether anything answers at `url` within seconds; an HTTP error is an answer."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PROBE_TIMEOUT_S - 1):
            return True
    except HTTPError as error:
        return error.code < 500
    except (URLError, OSError, ValueError):
        return False


def probe_sources(urls: dict[str, str]) -> dict[str, bool]:
    """Ask all sources at once: by name whether each answered within `PROBE_TIMEOUT_S` seconds."""
    answered: dict[str, bool] = {}
    # Daemon threads: one that hangs in a name server's silence must not hold up the end of the program.
    probes = [
        threading.Thread(target=lambda name=name, url=url: answered.update({name: answers(url)}), daemon=True)
        for name, url in urls.items()
    ]
    for probe in probes:
        probe.start()
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    for probe in probes:
        probe.join(max(0.0, deadline - time.monotonic()))
    return {name: answered.get(name, False) for name in urls}


def ephemeral_ports() -> range:
    """The ports that the kernel takes for outgoing connections, so that a service may find its own one taken."""
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return range(int(first), int(last) + 1)


def can_bind(address: str, port: int) -> bool:
    """Whether a server could listen here now."""
    try:
        socket.create_server((address, port)).close()
    except OSError:
        return False
    return True


def memory_available_mb() -> int:
    """Memory that can be had without swapping, in MB."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) // 1024 if found else 0


def wait_until(condition, timeout_s: float, interval_s: float = 0.2) -> bool:
    """Poll `condition` until it is true or `timeout_s` seconds have passed; return whether it became true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True
