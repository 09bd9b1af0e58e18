"""Append-only journal of usage entries: durable before a caller is answered, deleted once applied.

An entry is one line: eight hex digits of CRC-32, a space, a JSON object, a newline. A line that fails its
checksum is skipped, so the torn end of a killed process harms nothing else. Every process starts a new
segment file. A segment whose entries are all settled is renamed (`.done`), and deleted when the ledger in the
database has forgotten it: whatever is read again after a crash is still known there.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import logging
import os
import queue
import threading
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("litellm_hub.journal")

SEGMENT_BYTES = 4 << 20
_CHECKSUM_BYTES = 9  # eight hex digits and a space


class JournalError(RuntimeError):
    """The journal cannot be opened, or an entry could not be made durable."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry lies: segment file, offset and length in bytes (newline included), and since when (Unix time)."""

    segment: str
    offset: int
    length: int
    since: float


def encode(entry: Mapping[str, Any]) -> bytes:
    """Return `entry` as one journal line."""
    body = json.dumps(entry, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> dict[str, Any]:
    """Return the entry of a journal line.

    Raises:
        ValueError: The line is torn or damaged.
    """
    checksum, body = line[:_CHECKSUM_BYTES], line[_CHECKSUM_BYTES:].rstrip(b"\n")
    if not line.endswith(b"\n") or checksum != b"%08x " % zlib.crc32(body):
        raise ValueError("checksum differs")
    entry: dict[str, Any] = json.loads(body)
    return entry


class Journal:
    """The journal in one directory, owned by one process at a time.

    A thread writes: it gathers the entries that wait, writes them at once and syncs once (group commit).
    Entries stay on disk and only their places in memory, so a long database outage costs little memory.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open the journal, creating the directory, and find the entries an earlier process left.

        Args:
            directory: Folder for segments; created with mode 0700.
            segment_bytes: Size in bytes after which a new segment is begun.

        Raises:
            JournalError: The directory cannot be used, or another process holds it.
        """
        self.directory = directory
        self.set_aside_count = 0
        self.arrived = threading.Event()  # set with each entry, for whoever applies them
        self._segment_bytes = segment_bytes
        self._waiting: dict[Place, None] = {}  # in the order of their arrival
        self._unsettled: Counter[str] = Counter()  # entries of each segment that this journal knows
        self._damaged: set[str] = set()
        self._guard = threading.Lock()
        self._inbox: queue.SimpleQueue[tuple[bytes, Future[None]] | None] = queue.SimpleQueue()
        self._file, self._segment, self._size = -1, "", 0
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
            self._lock = _lock(directory / "lock")
            self.journal_id = _identity(directory / "id")
            self._recover()
        except OSError as error:
            raise JournalError(f"The usage journal cannot use {directory}: {error}") from error
        self._thread = threading.Thread(target=self._run, name="usage-journal", daemon=True)
        self._thread.start()

    def append(self, entry: Mapping[str, Any]) -> Future[None]:
        """Queue an entry; the future is done when it is on disk, or fails with `JournalError`."""
        future: Future[None] = Future()
        self._inbox.put((encode(entry), future))
        return future

    def waiting(self) -> list[Place]:
        """Return the places of the entries that are not settled, the oldest first."""
        with self._guard:
            return list(self._waiting)

    def read(self, places: Iterable[Place]) -> list[dict[str, Any]]:
        """Return the entries at `places`.

        Raises:
            OSError, ValueError: A segment is gone or was changed by someone else.
        """
        entries = []
        for segment, group in itertools.groupby(places, key=lambda place: place.segment):
            with (self.directory / segment).open("rb") as file:
                entries += [decode(os.pread(file.fileno(), place.length, place.offset)) for place in group]
        return entries

    def settle(self, places: Iterable[Place]) -> None:
        """Forget entries, which are applied or set aside."""
        with self._guard:
            for place in places:
                del self._waiting[place]
                self._unsettled[place.segment] -= 1
            self._finish_segments()

    def set_aside(self, entry: Mapping[str, Any], reason: str) -> None:
        """Put an entry that the database refuses into the file `rejected.jsonl`, with the reason."""
        with open(self.directory / "rejected.jsonl", "ab", opener=_private) as file:
            file.write(encode({"reason": reason, "entry": entry}))
            file.flush()
            os.fsync(file.fileno())
        self.set_aside_count += 1

    def finished(self) -> list[str]:
        """Return the names of the segments whose entries the ledger may forget."""
        return [path.with_suffix(".journal").name for path in self.directory.glob("*.done")]

    def delete(self, segments: Iterable[str]) -> None:
        """Delete finished segments, which the ledger has forgotten."""
        for name in segments:
            (self.directory / name).with_suffix(".done").unlink()

    def close(self) -> None:
        """Write what waits, and let another process have the directory."""
        self._inbox.put(None)
        self._thread.join()
        if self._file >= 0:
            os.close(self._file)
        self._segment = ""
        self._finish_segments()
        os.close(self._lock)

    def _recover(self) -> None:
        for path in sorted(self.directory.glob("*.journal")):
            self._unsettled[path.name] = 0
            for place in self._scan(path):
                self._waiting[place] = None
                self._unsettled[path.name] += 1
        rejected = self.directory / "rejected.jsonl"
        self.set_aside_count = len(rejected.read_bytes().splitlines()) if rejected.exists() else 0
        if self._waiting:
            log.warning("Usage journal: %d entries of an earlier run are applied first", len(self._waiting))
        self._finish_segments()

    def _scan(self, path: Path) -> Iterator[Place]:
        offset, since = 0, path.stat().st_mtime
        with path.open("rb") as file:
            for line in file:
                try:
                    decode(line)
                except ValueError:
                    if line.endswith(b"\n"):
                        self._damaged.add(path.name)
                        log.error("Usage journal: %s is damaged at byte %d; a copy is kept", path.name, offset)
                    else:
                        log.warning("Usage journal: %s ends in an entry that was never finished", path.name)
                else:
                    yield Place(path.name, offset, len(line), since)
                offset += len(line)

    def _run(self) -> None:
        closing = False
        while not closing:
            group = [self._inbox.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    group.append(self._inbox.get_nowait())
            closing = None in group
            writes = [item for item in group if item is not None]
            try:
                self._write([line for line, _ in writes])
            except OSError as error:
                hint = ": the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
                failure = JournalError(f"The usage journal cannot be written{hint} ({error.strerror})")
                for _, future in writes:
                    future.set_exception(failure)
            else:
                for _, future in writes:
                    future.set_result(None)
                self.arrived.set()

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        if self._file < 0 or self._size >= self._segment_bytes:
            self._begin_segment()
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fdatasync(self._file)
        except OSError:
            self._abandon_segment()
            raise
        now = time.time()
        with self._guard:
            for line in lines:
                self._waiting[Place(self._segment, self._size, len(line), now)] = None
                self._size += len(line)
            self._unsettled[self._segment] += len(lines)

    def _begin_segment(self) -> None:
        name = f"{time.time_ns():020d}.journal"
        with self._guard:  # a new file has no entries yet and must not be taken for a finished one
            file = os.open(self.directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            if self._file >= 0:
                os.close(self._file)
            self._file, self._segment, self._size = file, name, 0
            self._unsettled[name] = 0
            _sync_directory(self.directory)
            self._finish_segments()

    def _abandon_segment(self) -> None:
        # After a failed sync nobody knows what is on disk: nothing is ever appended behind it.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
        os.close(self._file)
        with self._guard:
            self._file, self._segment = -1, ""

    def _finish_segments(self) -> None:
        finished = [name for name, count in self._unsettled.items() if count == 0 and name != self._segment]
        for name in finished:
            path = self.directory / name
            if name in self._damaged:
                os.link(path, path.with_suffix(".damaged"))
            path.rename(path.with_suffix(".done"))
            del self._unsettled[name]
        if finished:
            # The ledger forgets a segment only after its renaming is certain; otherwise a power failure
            # could bring back entries that the ledger no longer knows.
            _sync_directory(self.directory)


def _lock(path: Path) -> int:
    file = _private(str(path), os.O_RDWR | os.O_CREAT)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    os.close(file)
    raise JournalError(f"Another gateway process uses the journal in {path.parent}: run one worker per LAB_JOURNAL_DIR")


def _identity(path: Path) -> str:
    with open(path, "a+", opener=_private) as file:
        file.seek(0)
        known = file.read().strip() or str(uuid.uuid4())
        if file.tell() == 0:
            file.write(known)
    return str(uuid.UUID(known))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
