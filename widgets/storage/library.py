"""The conversations that this kernel has open, and their saving.

Panels that open the same conversation share it. A thread of its own writes what changed: at once where something was
said or ended, and otherwise at most once per interval, so that a dying kernel loses no more of an answer than that, and
no stream ever waits for a disk.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from widgets.conversations.answering import Answering
from widgets.conversations.conversation import Conversation
from widgets.conversations.document import Document, new_id, recover
from widgets.storage.lock import Lock
from widgets.storage.store import Item, Store, StoreError

INTERVAL = 0.8  # seconds between two savings of an answer that grows
PATIENCE = 5.0  # seconds until the next attempt after a failed one


@dataclass(frozen=True, slots=True)
class Saving:
    """Whether a conversation is on disk.

    Attributes:
        state: "saved" (or to be within the interval), "copy" (of one that another kernel writes) or "failed".
        reason: The state in one sentence; empty when all is well.
        remedy: What to do about it.
    """

    state: str = "saved"
    reason: str = ""
    remedy: str = ""


class Session:
    """An open conversation. Made by a `Library`.

    Attributes:
        conversation: The conversation.
        saving: Whether it is on disk.
        answering: What writes its last answer; None before the first.
        users: Number of panels that show it.
        watchers: Called, with no arguments and on any thread, when `saving` has changed.
    """

    def __init__(self, conversation: Conversation, lock: Lock | None, saving: Saving) -> None:
        self.conversation = conversation
        self.saving = saving
        self.answering: Answering | None = None
        self.users = 0
        self.watchers: list[Callable[[], None]] = []
        self.lock = lock
        self.removed = False
        self.changed = False
        self.written = float("-inf")
        self.writing = threading.Lock()

    @property
    def id(self) -> str:
        """Id of the conversation."""
        return self.conversation.id

    def set_saving(self, saving: Saving) -> None:
        """Note whether it is on disk, and tell the watchers if that is new."""
        if saving != self.saving:
            self.saving = saving
            for watcher in list(self.watchers):
                watcher()


class Library:
    """All conversations of one folder, for one process. Get it with `Library.at`.

    Args:
        store: The files.
    """

    _by_folder: ClassVar[dict[Path, Library]] = {}
    _guard = threading.Lock()

    def __init__(self, store: Store) -> None:
        self.store = store
        self._open: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._due: dict[str, float] = {}
        self._wake = threading.Condition()
        self._saver: threading.Thread | None = None
        atexit.register(self.flush)

    @classmethod
    def at(cls, folder: str | Path | None = None) -> Library:
        """Return the library of a folder (default: `widgets.storage.store.default_folder`), the same each time."""
        store = Store(folder)
        with cls._guard:
            if store.folder not in cls._by_folder:
                cls._by_folder[store.folder] = cls(store)
            return cls._by_folder[store.folder]

    def new(self) -> Session:
        """Begin a conversation. Nothing is written before something is said."""
        return self._add(Conversation(), None, Saving())

    def open(self, conversation_id: str) -> Session:
        """Open a conversation; as a copy if another kernel is writing it.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        with self._lock:
            if conversation_id in self._open:
                session = self._open[conversation_id]
                session.users += 1
                return session
            document = self.store.read(conversation_id)
            lock = self.store.lock(conversation_id)
            if lock is None:
                return self._copy(document)
            try:
                document = self.store.read(conversation_id)  # its last writer may have been at it until now
            except StoreError:
                lock.release()
                raise
            return self._add(Conversation.from_document(recover(document)), lock, Saving())

    def add(self, document: Document) -> str:
        """Take in a conversation from elsewhere, under a new id; return that.

        Raises:
            StoreError: It cannot be saved.
        """
        document.id = new_id()
        conversation = Conversation.from_document(recover(document))
        self.store.write(document.id, conversation.encode())
        return document.id

    def release(self, session: Session) -> None:
        """Say that a panel does not show it any more."""
        with self._lock:
            session.users -= 1
        self.settle(session)

    def settle(self, session: Session) -> None:
        """Close a conversation that nobody shows and no model writes to."""
        with self._lock:
            if session.users > 0 or session.conversation.busy or self._open.get(session.id) is not session:
                return
            if self._save(session):  # else it stays open, and the saver goes on trying
                del self._open[session.id]
                self._unlock(session)

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title.

        Raises:
            ValueError: The title is blank.
            StoreError: It is not there, cannot be written, or another kernel is writing it.
        """
        with self._held(conversation_id) as session:
            session.conversation.rename(title)
            self._save(session)
            if session.saving.state == "failed":
                raise StoreError(session.saving.reason, session.saving.remedy)

    def remove(self, conversation_id: str) -> None:
        """Delete a conversation for good. Where it is open, it goes on without being saved.

        Raises:
            StoreError: It cannot be deleted, or another kernel is writing it.
        """
        with self._lock:
            session = self._open.pop(conversation_id, None)
            if session is None:
                lock = self.store.lock(conversation_id)
                if lock is None:
                    raise _held_elsewhere()
                try:
                    self.store.remove(conversation_id)
                finally:
                    lock.release()
                return
            with session.writing:
                session.removed = True
                self.store.remove(conversation_id)
            self._unlock(session)

    def items(self, query: str = "") -> list[Item]:
        """List or search the conversations, see `Store.items`.

        Raises:
            StoreError: The folder cannot be read.
        """
        self.flush()
        return self.store.items(query)

    def document(self, conversation_id: str) -> Document:
        """Return a conversation as it is now, open or not.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        self.flush()
        return self.store.read(conversation_id)

    def flush(self) -> None:
        """Write everything that changed, now."""
        with self._lock:
            sessions = list(self._open.values())
        for session in sessions:
            if session.changed:
                self._save(session)

    @contextlib.contextmanager
    def _held(self, conversation_id: str) -> Iterator[Session]:
        session = self.open(conversation_id)
        try:
            if session.id != conversation_id:
                raise _held_elsewhere()
            yield session
        finally:
            self.release(session)

    def _copy(self, document: Document) -> Session:
        title = document.title
        document.id, document.title = new_id(), f"{title} (copy)"
        reason = f"Another kernel has “{title}” open: this is a copy of it."
        remedy = "It is saved as a conversation of its own with the next prompt."
        return self._add(Conversation.from_document(recover(document)), None, Saving("copy", reason, remedy))

    def _add(self, conversation: Conversation, lock: Lock | None, saving: Saving) -> Session:
        session = Session(conversation, lock, saving)
        session.users = 1
        conversation.on_change = lambda urgent: self._mark(session, urgent)
        with self._lock:
            self._open[session.id] = session
        return session

    def _unlock(self, session: Session) -> None:
        if session.lock is not None:
            session.lock.release()
            session.lock = None

    def _mark(self, session: Session, urgent: bool) -> None:
        """Have a session written; called by its conversation, under its lock."""
        session.changed = True
        due = 0.0 if urgent else session.written + INTERVAL
        with self._wake:
            self._due[session.id] = min(due, self._due.get(session.id, due))
            if self._saver is None:
                self._saver = threading.Thread(target=self._save_for_ever, name="chat-saver", daemon=True)
                self._saver.start()
            self._wake.notify()

    def _save_for_ever(self) -> None:
        while True:
            with self._wake:
                while not self._due or (wait := min(self._due.values()) - time.monotonic()) > 0:
                    self._wake.wait(wait if self._due else None)
                ready = [name for name, due in self._due.items() if due <= time.monotonic()]
                for name in ready:
                    del self._due[name]
            for name in ready:
                session = self._open.get(name)
                if session is not None and session.changed and not self._save(session):
                    with self._wake:
                        self._due.setdefault(name, time.monotonic() + PATIENCE)

    def _save(self, session: Session) -> bool:
        """Write a session if it changed; return False if that failed."""
        with session.writing:
            if session.removed or not session.changed:
                return True
            session.changed = False
            session.written = time.monotonic()  # what changes from here on is due an interval later
            try:
                if session.lock is None:
                    session.lock = self.store.lock(session.id)
                self.store.write(session.id, session.conversation.encode())
            except StoreError as error:
                session.changed = True
                session.set_saving(Saving("failed", error.reason, error.remedy))
                return False
            finally:
                session.written = time.monotonic()
            session.set_saving(Saving())
            return True


def _held_elsewhere() -> StoreError:
    return StoreError("Another kernel has this conversation open.", "Close its panel or its kernel first.")
