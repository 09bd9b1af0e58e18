"""Callback plugin: one run at a time for each lab.

Callbacks run in Ansible's main process, which holds the lock to its end; the workers that it forks hold it too, so
a run whose main process was killed counts until the last of them has ended. What they start (a service) does not: the
file is closed there. The lock is this machine's and this account's, for each host by its name in the inventory.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_lock
type: aggregate
short_description: One run at a time for each lab
description:
  - Waits where another run works on the lab that a play has named by the fact C(one_run), and says for which.
"""

import fcntl
import hashlib
import os
import stat
import time
from pathlib import Path

from ansible.plugins.callback import CallbackBase

from ansible import constants


class CallbackModule(CallbackBase):
    """Takes the locks that the play asked for before its next task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lab_lock"

    def __init__(self):
        super().__init__()
        self.wanted: set[tuple[str, str]] = set()
        self.held: dict[tuple[str, str], int] = {}
        self.name = ""

    def v2_playbook_on_start(self, playbook):
        self.name = Path(playbook._file_name).name

    def v2_runner_on_ok(self, result):
        if lab := (result.result.get("ansible_facts") or {}).get("one_run"):
            self.wanted.add((str(lab["host"]), str(lab["home"])))

    def v2_playbook_on_task_start(self, task, is_conditional):
        for host, home in sorted(self.wanted - self.held.keys()):  # in one order, or two runs wait for each other
            self.held[host, home] = self.take(host, home if host else os.path.realpath(home))

    def take(self, host: str, home: str) -> int:
        """Wait for the lab; return the locked file."""
        folder = Path(constants.ANSIBLE_HOME, "genailabs")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(f'{host}:{home}'.encode()).hexdigest()[:16]}.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise SystemExit(f"No lock can be had: {error}") from None
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise SystemExit(f"{path} is not a file of this account's alone: remove it")  # another error only warns
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._display.display(f"Waiting for {holder(os.pread(file, 1000, 0).decode())} on the lab in {home}")
            fcntl.flock(file, fcntl.LOCK_EX)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()} {time.strftime('%H:%M:%S')} {self.name}".encode(), 0)
        return file


def holder(words: str) -> str:
    """Who holds a lock, from what it wrote to the file."""
    pid, since, name = [*words.split(" ", 2), "?", "?", "?"][:3]
    killed = "" if os.path.exists(f"/proc/{pid}") else "; it was killed, but what it began still runs"
    return f"the run of {name} (pid {pid}, since {since}{killed})"
