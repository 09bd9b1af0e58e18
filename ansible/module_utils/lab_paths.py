"""Folders and files of several accounts, made so that none of them can lead root elsewhere by a symbolic link."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import PurePath

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


@contextlib.contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Have no more rights than an account within the block; where the caller is not root, nothing changes."""
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    groups, own_group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_group)
        os.setgroups(groups)


@contextlib.contextmanager
def entered(path: str, make: bool = False) -> Iterator[int]:
    """Open a folder step by step, following only links that root or the caller laid.

    Args:
        path: An absolute path.
        make: Whether to make the folders that are missing.

    Raises:
        OSError: there is no such folder, or another account's link is on the way.
    """
    here, ahead = os.open("/", FOLDER), list(reversed(PurePath(path).parts[1:]))
    try:
        while ahead:
            name = ahead.pop()
            if make and not os.access(name, os.F_OK, dir_fd=here, follow_symlinks=False):
                os.mkdir(name, dir_fd=here)
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                if found.st_uid not in (0, os.geteuid()):
                    raise PermissionError(0, f"account {name_of(found.st_uid)} laid the link {name} on the way", path)
                ahead += reversed(PurePath(os.readlink(name, dir_fd=here)).parts)
                continue
            there = os.open(name, FOLDER, dir_fd=here)  # an absolute link's target begins with "/"
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def name_of(uid: int) -> str:
    """An account's name, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def settle(descriptor: int, entry: dict, dry: bool) -> tuple[str, str]:
    """Bring what is open to the owner, group and mode of `entry`; give these as they were and as they are now."""
    found = os.fstat(descriptor)
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    before = name_of(found.st_uid), group, f"{stat.S_IMODE(found.st_mode):04o}"
    after = entry["owner"] or before[0], entry["group"] or before[1], entry["mode"]
    if before != after and not dry:
        shutil.chown(descriptor, *after[:2])
        os.fchmod(descriptor, int(entry["mode"], 8))
    return " ".join(before), " ".join(after)


def put(entry: dict, dry: bool) -> tuple[str | None, str]:
    """Bring a file to its content, owner, group and mode; it is replaced whole or not at all.

    Args:
        entry: Its `path`, `content`, `mode` (four octal digits), `owner` and `group` (empty leaves these).
        dry: Whether to change nothing; its folder may be missing then.

    Returns:
        What was (None: no file) and what is now: the contents where they differ, else owner, group and mode.

    Raises:
        OSError: it cannot be written.
    """
    folder, name = os.path.split(entry["path"])
    before = None
    with contextlib.suppress(FileNotFoundError) if dry else contextlib.nullcontext(), entered(folder) as here:
        # What stands in its place and is no file that can be read is replaced.
        with contextlib.suppress(OSError):
            present = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
            with open(present, encoding="utf-8", errors="replace") as file:
                before = file.read()
                if before == entry["content"]:
                    return settle(present, entry, dry)
        if not dry:
            fresh = f".{name}.new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=here)
            made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=here)
            with open(made, "w", encoding="utf-8") as file:
                file.write(entry["content"])
                settle(made, entry, dry)
                file.flush()
                os.fsync(made)
            os.replace(fresh, name, src_dir_fd=here, dst_dir_fd=here)
    return before, entry["content"]
