"""The right to write a file, held by one process at a time and given up when that dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar


class Lock:
    """A held lock; given up with `release` or with the process."""

    _held: ClassVar[set[int]] = set()

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        Lock._held.add(descriptor)

    def release(self) -> None:
        """Give the right up."""
        # Removed while it is held: nobody can hold a file that is gone and think that it holds the conversation.
        self._path.unlink(missing_ok=True)
        Lock._held.discard(self._descriptor)
        os.close(self._descriptor)

    @classmethod
    def acquire(cls, path: Path) -> Lock | None:
        """Return the lock, or None if somebody else holds it."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there = path.stat()
            except BlockingIOError:
                os.close(descriptor)
                return None
            except FileNotFoundError:
                os.close(descriptor)
                continue  # its holder removed it between the two calls
            except OSError:
                os.close(descriptor)
                raise
            if os.path.samestat(there, os.fstat(descriptor)):
                return cls(path, descriptor)
            os.close(descriptor)

    @classmethod
    def forget_in_child(cls) -> None:
        """Close the parent's locks in a forked process, which would otherwise keep them when the parent dies."""
        for descriptor in cls._held:
            os.close(descriptor)
        cls._held.clear()


os.register_at_fork(after_in_child=Lock.forget_in_child)
