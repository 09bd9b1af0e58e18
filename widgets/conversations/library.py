"""The conversations that this kernel has open, and their saving.

Panels that open the same conversation share it. A thread of its own writes what changed: at once where something was
said or ended, and otherwise at most once per interval, so that a dying kernel loses no more of an answer than that, and
no stream ever waits for a disk.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from widgets.conversations.answer_task import AnswerTask
from widgets.conversations.conversation import Conversation
from widgets.storage.document import Document, new_id, recover
from widgets.storage.lock import Lock
from widgets.storage.store import Item, Store, StoreError

INTERVAL = 0.8  # seconds between two savings of an answer that grows
PATIENCE = 5.0  # seconds until the next attempt after a failed one

log = logging.getLogger(__name__)


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


class OpenConversation:
    """An open conversation. Made by a `Library`.

    Attributes:
        conversation: The conversation.
        saving: Whether it is on disk.
        task: What writes its last answer; None before the first.
        users: Number of panels that show it.
        watchers: Called, with no arguments and on any thread, when `saving` has changed.
    """

    def __init__(self, conversation: Conversation, lock: Lock | None, saving: Saving) -> None:
        self.conversation = conversation
        self.saving = saving
        self.task: AnswerTask | None = None
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
        self._open: dict[str, OpenConversation] = {}
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

    def new(self) -> OpenConversation:
        """Begin a conversation. Nothing is written before something is said."""
        return self._add(Conversation(), None, Saving())

    def open(self, conversation_id: str) -> OpenConversation:
        """Open a conversation; as a copy if another kernel is writing it.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        with self._lock:
            if conversation_id in self._open:
                opened = self._open[conversation_id]
                opened.users += 1
                return opened
            document = self.store.read(conversation_id)
            lock = self.store.lock(conversation_id)
            if lock is None:
                return self._copy(document)
            try:
                document = self.store.read(conversation_id)  # its last writer may have been at it until now
            except StoreError:
                lock.release()
                raise
            return self._add(Conversation(recover(document)), lock, Saving())

    def add(self, document: Document) -> str:
        """Take in a conversation from elsewhere, under a new id; return that.

        Raises:
            StoreError: It cannot be saved.
        """
        document.id = new_id()
        conversation = Conversation(recover(document))
        self.store.write(document.id, conversation.encode())
        return document.id

    def release(self, opened: OpenConversation) -> None:
        """Say that a panel does not show it any more."""
        with self._lock:
            opened.users -= 1
        self.settle(opened)

    def settle(self, opened: OpenConversation) -> None:
        """Close a conversation that nobody shows and no model writes to."""
        with self._lock:
            if opened.users > 0 or opened.conversation.busy or self._open.get(opened.id) is not opened:
                return
            if self._save(opened):  # else it stays open, and the saver goes on trying
                del self._open[opened.id]
                self._unlock(opened)

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title.

        Raises:
            ValueError: The title is blank.
            StoreError: It is not there, cannot be written, or another kernel is writing it.
        """
        with self._held(conversation_id) as opened:
            opened.conversation.rename(title)
            self._save(opened)
            if opened.saving.state == "failed":
                raise StoreError(opened.saving.reason, opened.saving.remedy)

    def remove(self, conversation_id: str) -> None:
        """Delete a conversation for good. Where it is open, it goes on without being saved.

        Raises:
            StoreError: It cannot be deleted, or another kernel is writing it.
        """
        with self._lock:
            opened = self._open.pop(conversation_id, None)
            if opened is None:
                lock = self.store.lock(conversation_id)
                if lock is None:
                    raise _held_elsewhere()
                try:
                    self.store.remove(conversation_id)
                finally:
                    lock.release()
                return
            with opened.writing:
                opened.removed = True
                self.store.remove(conversation_id)
            self._unlock(opened)

    def usual_model(self, names: Sequence[str]) -> str:
        """Return which of these models to begin with: the one that was asked last, else the first; empty if none."""
        self.flush()
        last = self.store.last_model()
        return last if last in names else next(iter(names), "")

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
            all_open = list(self._open.values())
        for opened in all_open:
            self._save(opened)  # which waits for the saver, should that be at it

    @contextlib.contextmanager
    def _held(self, conversation_id: str) -> Iterator[OpenConversation]:
        opened = self.open(conversation_id)
        try:
            if opened.id != conversation_id:
                raise _held_elsewhere()
            yield opened
        finally:
            self.release(opened)

    def _copy(self, document: Document) -> OpenConversation:
        title = document.title
        document.id, document.title = new_id(), f"{title} (copy)"
        reason = f"Another kernel has “{title}” open: this is a copy of it."
        remedy = "It is saved as a conversation of its own with the next prompt."
        return self._add(Conversation(recover(document)), None, Saving("copy", reason, remedy))

    def _add(self, conversation: Conversation, lock: Lock | None, saving: Saving) -> OpenConversation:
        opened = OpenConversation(conversation, lock, saving)
        opened.users = 1
        conversation.on_change = lambda urgent: self._mark(opened, urgent)
        with self._lock:
            self._open[opened.id] = opened
        return opened

    def _unlock(self, opened: OpenConversation) -> None:
        if opened.lock is not None:
            opened.lock.release()
            opened.lock = None

    def _mark(self, opened: OpenConversation, urgent: bool) -> None:
        """Have a conversation written; called by its conversation, under its lock."""
        opened.changed = True
        due = 0.0 if urgent else opened.written + INTERVAL
        with self._wake:
            self._due[opened.id] = min(due, self._due.get(opened.id, due))
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
                opened = self._open.get(name)
                if opened is not None and opened.changed and not self._save(opened):
                    with self._wake:
                        self._due.setdefault(name, time.monotonic() + PATIENCE)

    def _save(self, opened: OpenConversation) -> bool:
        """Write one if it changed; return False if that failed."""
        with opened.writing:
            if opened.removed or not opened.changed:
                return True
            opened.changed = False
            opened.written = time.monotonic()  # what changes from here on is due an interval later
            try:
                if opened.lock is None:
                    opened.lock = self.store.lock(opened.id)
                self.store.write(opened.id, opened.conversation.encode())
            except Exception as error:  # a saver that ends tells nobody, and nothing would be saved any more
                opened.changed = True
                if not isinstance(error, StoreError):
                    log.exception("A conversation could not be saved.")
                    error = StoreError(f"The panel failed while it saved: {error!r}.", "The kernel's log has more.")
                opened.set_saving(Saving("failed", error.reason, error.remedy))
                return False
            finally:
                opened.written = time.monotonic()
            opened.set_saving(Saving())
            return True


def _held_elsewhere() -> StoreError:
    return StoreError("Another kernel has this conversation open.", "Close its panel or its kernel first.")
