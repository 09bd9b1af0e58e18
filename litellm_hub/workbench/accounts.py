"""Accounts of the host for the people of the list, their homes, their teams' groups and shared folders. Runs as root.

An account is the lab's if its home is one of the lab's; any other of the same name is refused, never taken over.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from litellm_hub.workbench.people import TEACHER, Person

NAME_MAXIMUM = 32  # of an account or group, see useradd(8)
FIRST_PERSON = 1000  # accounts of people begin here, see login.defs(5)
END_S = 10.0
INTERVAL_S = 0.1
MARK = b"LAB_SERVICE="
ADD = ["--no-create-home", "--user-group", "--no-log-init", "--shell", "/usr/sbin/nologin"]


class AccountError(Exception):
    """The accounts cannot be made; the message names every problem and its remedy, a line each."""


class Accounts:
    """What a lab has of its people on the host."""

    def __init__(self, lab_home: Path, *, own: bool, check: bool = False):
        """Look at a lab.

        Args:
            lab_home: Its folder.
            own: Whether the accounts are the lab's own; else they are the host's, which the lab does not touch.
            check: Whether to change nothing, and say what would be done.
        """
        self.homes = lab_home / "homes"
        self.shared = lab_home / "shared"
        self.own = own
        self.check = check
        self.done: list[str] = []

    def bring(self, people: Mapping[str, Person]) -> list[str]:
        """Make what is missing, and close what is of people who left.

        Returns:
            What was done, in words.

        Raises:
            AccountError: It cannot be done; nothing was changed.
        """
        present = {entry.pw_name: entry for entry in pwd.getpwall()}
        problems = [line for person in people.values() for line in self._problems(person, present)]
        if problems:
            raise AccountError("\n".join(problems))
        self._folder(self.homes, 0o711)
        if self.own:
            for person in people.values():
                self._account(person, present)
        self._share(people)
        self.end([entry for entry in self.mine() if entry.pw_name not in {one.account for one in people.values()}])
        return self.done

    def mine(self) -> list[pwd.struct_passwd]:
        """The accounts that the lab made."""
        return [entry for entry in pwd.getpwall() if Path(entry.pw_dir).parent == self.homes]

    def end(self, entries: Iterable[pwd.struct_passwd], mark: str = "") -> None:
        """End accounts' processes, those that do not go by a signal that cannot be caught.

        Args:
            entries: The accounts.
            mark: What the processes' LAB_SERVICE begins with, of accounts that have others too.
        """
        uids = {entry.pw_uid: entry.pw_name for entry in entries}

        def alive() -> dict[int, int]:
            return processes(lambda process: process.stat().st_uid in uids and marked(process, mark))

        found = alive()
        if self.check or not found:
            return
        self.done += sorted({f"end the processes of {uids[uid]}" for uid in found.values()})
        kill(found, signal.SIGTERM)
        deadline = time.monotonic() + END_S
        while (found := alive()) and time.monotonic() < deadline:
            time.sleep(INTERVAL_S)
        kill(found, signal.SIGKILL)

    def remove(self) -> list[str]:
        """Remove the lab's accounts and groups; its folders are left.

        Returns:
            What was done, in words.
        """
        self.end(self.mine())
        for entry in self.mine():
            self._run(f"remove account {entry.pw_name}", "userdel", entry.pw_name)
        prefix = self._group("")
        for group in [entry.gr_name for entry in grp.getgrall() if entry.gr_name.startswith(prefix)]:
            self._run(f"remove group {group}", "groupdel", group)
        return self.done

    def _problems(self, person: Person, present: Mapping[str, pwd.struct_passwd]) -> Iterable[str]:
        entry = present.get(person.account)
        if len(person.account) > NAME_MAXIMUM:
            yield f"{person.account}: an account's name has at most {NAME_MAXIMUM} characters. Choose a shorter one"
        elif self.own and entry and Path(entry.pw_dir) != self.homes / person.name:
            yield (
                f"{person.account}: this host has an account of that name that is not this lab's. Choose another name,"
                " or another jupyterhub_account_prefix"
            )
        elif not self.own and entry is None:
            yield f"{person.account}: this host has no such account. Make it, or use workbench_auth=native"
        elif not self.own and entry and entry.pw_uid < FIRST_PERSON:
            yield f"{person.account}: this is an account of the system, not of a person. Choose another name"

    def _account(self, person: Person, present: Mapping[str, pwd.struct_passwd]) -> None:
        home = self.homes / person.name
        if person.account not in present:
            # --badname: a dot is a letter like others where names are the host's concern alone
            command = ["useradd", *ADD, "--badname", "--home-dir", str(home), person.account]
            self._run(f"make account {person.account}", *command)
        if not home.exists() and not self.check:
            entry = pwd.getpwnam(person.account)
            home.mkdir(0o700)
            os.chown(home, entry.pw_uid, entry.pw_gid)

    def _share(self, people: Mapping[str, Person]) -> None:
        """Folders that a team reads and its teachers write, and those in which each student hands in."""
        teams = sorted({person.team for person in people.values()})
        self._folder(self.shared, 0o711)
        for team in teams:
            members = [person for person in people.values() if person.team == team]
            everyone = self._members(self._group(team), members)
            teachers = self._members(self._group(team, TEACHER), [one for one in members if one.role == TEACHER])
            folder = self.shared / team
            self._folder(folder, 0o750, group=everyone)
            self._folder(folder / "materials", 0o2775, group=teachers)
            self._folder(folder / "hand-in", 0o751, group=teachers)
            for student in members:
                if student.role != TEACHER:
                    self._folder(folder / "hand-in" / student.name, 0o2750, student.account, teachers)

    def _group(self, team: str, role: str = "") -> str:
        """Name of a group: short, and of this lab alone whatever its teams are called."""
        lab, name = (hashlib.sha256(part.encode()).hexdigest()[:8] for part in (str(self.homes), f"{team}:{role}"))
        return f"lab-{lab}-{name}" if team else f"lab-{lab}-"

    def _members(self, group: str, people: Iterable[Person]) -> str:
        try:
            found = set(grp.getgrnam(group).gr_mem)
        except KeyError:
            found = set()
            self._run(f"make group {group}", "groupadd", group)
        wanted = {person.account for person in people}
        if found != wanted:
            self._run(f"set the members of {group}", "gpasswd", "--members", ",".join(sorted(wanted)), group)
        return group

    def _folder(self, path: Path, mode: int, owner: str = "root", group: str = "root") -> None:
        """Make a folder in one of root's, and give it to whom it shall belong; what is in it stays as it is."""
        if self.check:
            self.done += [] if path.is_dir() else [f"make {path}"]
            return
        path.mkdir(exist_ok=True)
        wanted = pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid, mode
        there = path.lstat()
        if (there.st_uid, there.st_gid, there.st_mode & 0o7777) != wanted:
            os.chown(path, *wanted[:2], follow_symlinks=False)
            path.chmod(mode)
            self.done.append(f"open {path}")

    def _run(self, says: str, *command: str) -> None:
        self.done.append(says)
        if not self.check:
            tried = subprocess.run(command, capture_output=True, text=True, check=False)
            if tried.returncode:
                raise AccountError(f"{' '.join(command)}: {tried.stderr.strip()}")


def processes(wanted: Callable[[Path], bool]) -> dict[int, int]:
    """Account of each process whose folder in /proc satisfies `wanted`, by process id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted(process):
                found[int(process.name)] = process.stat().st_uid
        except OSError:  # it ended meanwhile
            continue
    return found


def marked(process: Path, mark: str) -> bool:
    """Whether a process was started with a mark that begins like this."""
    words = (process / "environ").read_bytes().split(b"\0") if mark else []
    return not mark or any(word.startswith(MARK + mark.encode()) for word in words)


def kill(found: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes that may have ended."""
    for process in found:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue
