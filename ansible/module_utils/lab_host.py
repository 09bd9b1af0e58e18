"""What the preflight learns from the host: listening ports and who holds them, interpreters, reachable folders."""

from __future__ import annotations

import grp
import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

LISTEN = "0A"  # the state TCP_LISTEN in /proc/net/tcp
PROBE_TIMEOUT_S = 4.0
SUPERVISED_LAB = re.compile(r"supervisord.* -c (\S+)/supervisor/\w+\.conf")


def listening_inodes(port: int) -> set[str]:
    """Socket inodes that listen on `port`, whatever the address."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(fields[9])
    return inodes


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


def marked_lab(pid: int) -> str | None:
    """`lab_home` in the environment that a lab's service was started with, None where there is none to be seen."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    marks = (entry for entry in environment if entry.startswith(b"LAB_SERVICE="))
    mark = next(marks, b"").decode(errors="replace").partition("=")[2]
    return mark.rpartition(":")[0] or None


def lab_of(pid: int) -> str | None:
    """`lab_home` of the lab whose service process `pid` belongs to, None if it is no lab's."""
    while pid > 1:
        if home := marked_lab(pid):
            return home
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        if found := SUPERVISED_LAB.search(command):
            return found[1]
        pid = int(status.rsplit(")", 1)[1].split()[1])
    return None


def describe_holder(pid: int | None) -> str:
    """Words for a message: which process, and of which lab."""
    if pid is None:
        return "a process of another user"
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        name = "a process"
    home = lab_of(pid)
    return f"{name} (pid {pid}" + (f", of the lab in {home})" if home else ")")


def gpus(root: str = "/") -> list[str]:
    """The GPUs whose drivers are loaded, in words; `root` is where the host's /proc and /dev are."""
    found = []
    version = Path(root, "proc/driver/nvidia/version")
    if version.exists() or Path(root, "dev/nvidia0").exists():
        number = re.search(r"Kernel Module\D*(\d+\.[\d.]+)", version.read_text()) if version.exists() else None
        found.append("NVIDIA" + (f", driver {number[1]}" if number else ""))
    if Path(root, "dev/kfd").exists():
        found.append("AMD, driver amdgpu")
    return found


def gpu_groups() -> list[str]:
    """Names of the groups that the devices of AMD's driver belong to, other than root's."""
    owners = {
        device.stat().st_gid for device in (Path("/dev/kfd"), *Path("/dev/dri").glob("render*")) if device.exists()
    }
    return sorted(grp.getgrgid(number).gr_name for number in owners - {0})


def unreachable_folder(path: str) -> str | None:
    """First folder on the way to `path` that other accounts may not enter, None if all are open."""
    for folder in reversed([Path(path), *Path(path).parents]):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return str(folder)
    return None


def python_version(executable: str) -> tuple[int, int] | None:
    """Version of an interpreter as (major, minor), None if it does not run."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(r"(\d+) (\d+)\s*", answer.stdout)
    return (int(found[1]), int(found[2])) if found else None


def find_python(candidates: list[str], minimum: tuple[int, int], for_other_accounts: bool) -> str | None:
    """First interpreter that is new enough and, if asked, can be run by other accounts."""
    for candidate in candidates:
        if not os.access(candidate, os.X_OK):
            continue
        if for_other_accounts and unreachable_folder(os.path.dirname(os.path.realpath(candidate))):
            continue
        version = python_version(candidate)
        if version is not None and version >= minimum:
            return candidate
    return None


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
    """Ask all sources at once; one that is silent (or whose name server is) counts as not answering.

    Args:
        urls: Name of each source and an address of it.

    Returns:
        Name of each source and whether it answered within `PROBE_TIMEOUT_S` seconds.
    """
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


def can_bind(address: str, port: int) -> bool:
    """Whether a server could listen here now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
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
