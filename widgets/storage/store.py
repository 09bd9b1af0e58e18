"""Conversations on disk: one JSON file each, readable by their owner alone.

The folder is `$GENAILABS_CHAT_FOLDER`, else `genailabs-chat` in `$XDG_DATA_HOME` (`~/.local/share`). A file is replaced
as a whole or not at all. Who writes a conversation holds a lock on it, so that two kernels never overwrite each other's
words; the lock goes with the process. Files that are no conversations are left alone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from widgets.storage.code_blocks import words_of
from widgets.storage.document import Document, DocumentError, Summary, parse, read_head
from widgets.storage.lock import Lock

FOLDER_VARIABLE = "GENAILABS_CHAT_FOLDER"
SNIPPET = 120  # characters
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)


class StoreError(Exception):
    """A conversation cannot be read or written.

    Attributes:
        reason: What happened, one sentence.
        remedy: What the reader can do about it, one sentence; may be empty.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason} {remedy}".strip())


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation as lists show it.

    Attributes:
        id: Its id.
        title: Its title; the file's name where it cannot be read.
        created: When it was begun.
        updated: When it was last changed.
        entries: Number of prompts and answers on screen.
        snippet: Where the search found it, or the beginning of what was said last on screen; without Markdown's marks.
        problem: Why it cannot be opened; empty otherwise.
    """

    id: str
    title: str
    created: str = ""
    updated: str = ""
    entries: int = 0
    snippet: str = ""
    problem: str = ""


class _Text(msgspec.Struct):
    id: str
    parent: str | None
    text: str = ""


class _Texts(Summary, kw_only=True):
    """A document with just what lists and searches need: far faster to read than the whole."""

    nodes: list[_Text]

    def on_screen(self) -> list[_Text]:
        """The branch on screen, from its end to the first prompt."""
        nodes = {node.id: node for node in self.nodes}
        found = []
        at = self.current
        while node := nodes.pop(at or "", None):
            found.append(node)
            at = node.parent
        return found


_texts = msgspec.json.Decoder(_Texts)


def default_folder() -> Path:
    """Return the folder that is used when none is named."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "genailabs-chat"


class Store:
    """The files of one folder. Safe to share between threads.

    Args:
        folder: Default: see the module. Made when first needed, with mode 0700.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder).expanduser().absolute() if folder is not None else default_folder().absolute()
        self._seen: dict[str, tuple[tuple[int, int], Item]] = {}

    def lock(self, conversation_id: str) -> Lock | None:
        """Ask for the right to write a conversation.

        Returns:
            The lock, or None if another kernel holds it.

        Raises:
            StoreError: The folder cannot be used.
        """
        path = self._path(conversation_id, ".lock").with_name(f".{conversation_id}.lock")
        with self._translated("locked"):
            self._make_folder()
            return Lock.acquire(path)

    def read(self, conversation_id: str) -> Document:
        """Read a conversation.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        path = self._path(conversation_id)
        with self._translated("read"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise StoreError(
                    f"There is no conversation {conversation_id!r}.", f"It is not in {self.folder}."
                ) from None
        try:
            document = parse(data)
        except DocumentError as error:
            raise StoreError(str(error), f"The file {path} is left as it is.") from error
        document.id = conversation_id  # a file that was copied by hand has its name for an id
        return document

    def write(self, conversation_id: str, data: bytes) -> None:
        """Replace a conversation's file by `data`. The caller holds the lock.

        Raises:
            StoreError: It cannot be written; the old file is still there.
        """
        path = self._path(conversation_id)
        with self._translated("saved"):
            self._make_folder()
            self._replace(path, data)

    def remove(self, conversation_id: str) -> None:
        """Delete a conversation for good. The caller holds the lock.

        Raises:
            StoreError: It cannot be deleted.
        """
        with self._translated("removed"):
            self._path(conversation_id).unlink(missing_ok=True)

    def items(self, query: str = "") -> list[Item]:
        """List the conversations, the last changed first.

        Args:
            query: Words that must all occur in title or texts, in any case; blank for all.

        Raises:
            StoreError: The folder cannot be read.
        """
        words = query.casefold().split()
        with self._translated("listed"):
            if not self.folder.is_dir():
                return []
            entries = [entry for entry in os.scandir(self.folder) if self._is_conversation(entry.name)]
        found = [item for entry in entries if (item := self._item(entry, words)) is not None]
        return sorted(found, key=lambda item: item.updated, reverse=True)

    def last_model(self) -> str:
        """Return the model that was asked in the last changed conversation; empty where not known."""
        try:
            entries = [entry for entry in os.scandir(self.folder) if self._is_conversation(entry.name)]
            newest = max(entries, key=lambda entry: entry.stat().st_mtime_ns)
            return read_head(Path(newest.path).read_bytes()).model
        except (OSError, ValueError):
            return ""  # nothing is lost with it: the user chooses once more

    def _path(self, conversation_id: str, suffix: str = ".json") -> Path:
        # An id may come from a browser, and must not lead out of the folder.
        if not _ID.fullmatch(conversation_id):
            raise StoreError(f"{conversation_id!r} is no id of a conversation.", "Choose one from the list.")
        return self.folder / f"{conversation_id}{suffix}"

    @staticmethod
    def _is_conversation(name: str) -> bool:
        stem, _, suffix = name.rpartition(".")
        return suffix == "json" and bool(_ID.fullmatch(stem))

    def _item(self, entry: os.DirEntry[str], words: list[str]) -> Item | None:
        """Return the item of a file; None if it does not hold the words, or is gone."""
        try:
            state = entry.stat()
            version = (state.st_mtime_ns, state.st_size)
            known = self._seen.get(entry.name)
            if known is not None and known[0] == version and not words:
                return known[1]
            data = Path(entry.path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return None if words else _unreadable(entry.name, f"It cannot be read: {error.strerror}.")
        if words and not _may_hold(data, words):
            return None
        item = _describe(entry.name, data, words)
        if item is not None and not words:
            self._seen[entry.name] = version, item
        return item

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)

    @staticmethod
    def _replace(path: Path, data: bytes) -> None:
        # One writer at a time holds the lock, so that one name serves: a killed kernel leaves at most this file.
        part = path.with_name(f".{path.name}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"The conversation cannot be {what}: {(error.strerror or str(error)).lower()}."
            remedy = f"Make room in {self.folder}, or make it writable; the panel tries again by itself."
            raise StoreError(reason, remedy) from error


def _may_hold(data: bytes, words: list[str]) -> bool:
    """Sort out most files without decoding them: what is said stands in them as JSON writes it."""
    text = data.decode("utf-8", "replace").casefold()
    return all(msgspec.json.encode(word).decode()[1:-1] in text for word in words)


def _describe(name: str, data: bytes, words: list[str]) -> Item | None:
    stem = name.removesuffix(".json")
    try:
        read_head(data)
        texts = _texts.decode(data)
    except DocumentError as error:
        return None if words else _unreadable(name, str(error))
    except (msgspec.DecodeError, UnicodeError) as error:
        return None if words else _unreadable(name, f"A part of it has an unexpected form: {error}.")
    said = [node.text for node in texts.nodes]
    if words and not all(any(word in text.casefold() for text in [texts.title, *said]) for word in words):
        return None
    shown = texts.on_screen()
    snippet = _around(said, words[0]) if words else _shortened(words_of(shown[0].text) if shown else "", 0)
    return Item(stem, texts.title, texts.created, texts.updated, len(shown), snippet)


def _unreadable(name: str, problem: str) -> Item:
    return Item(name.removesuffix(".json"), name, problem=problem)


def _around(texts: list[str], word: str) -> str:
    for text in (words_of(text) for text in texts if word in text.casefold()):
        place = text.casefold().find(word)
        if place >= 0:
            return _shortened(text, place)
    return ""


def _shortened(text: str, place: int) -> str:
    start = max(0, place - SNIPPET // 3)
    part = " ".join(text[start : start + SNIPPET].split())
    return f"{'… ' if start else ''}{part}{' …' if start + SNIPPET < len(text) else ''}"
