"""The conversation behind a chat panel: what was said, and the events that keep views of it up to date.

Each change is one event to all listeners, in order. Events: `replay` and `path` (what is on screen, from the entry
`keep` on), `delta` (text of the live answer), `call` (one of its tool calls is new or changed), `state` (whether its
model is being loaded), `end` (its figures and state), `title`. `widgets.panels.event_feed` numbers them, so that a view
that is new, or that missed one, can ask for a replay. So every view shows the same, however the answer was cut into
pieces and whenever the view came.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from widgets.context.rendering import clean
from widgets.conversations.prompting import as_messages
from widgets.conversations.tree import AnyNode, Tree
from widgets.storage.document import (
    VERSION,
    Answer,
    Attached,
    Call,
    Document,
    Ending,
    Prompt,
    State,
    as_entry,
    new_id,
    now,
)

Event = dict[str, Any]
TITLE_LENGTH = 60


class BusyError(RuntimeError):
    """The conversation's last answer is still being written."""


class Conversation:
    """A tree of prompts and answers, safe to use from several threads. At most one answer is live at a time.

    Args:
        document: What it begins with (`widgets.storage.document.parse` makes one); default: nothing.

    Attributes:
        id: Its id, the name of its file.
        on_change: Called after every change, under the lock, with False if only the live answer grew; must return at
            once and not call back.
    """

    def __init__(self, document: Document | None = None) -> None:
        made = now()
        document = document or Document(version=VERSION, id=new_id(), created=made, updated=made, nodes=[])
        self.id = document.id
        self.on_change: Callable[[bool], None] = lambda _: None
        self._title = document.title
        self._created = document.created
        self._updated = document.updated
        self._model = document.model
        self._system_prompt = document.system_prompt
        self._tree = Tree(document.nodes, document.current)
        firsts = (title_of(node.text) for node in document.nodes if node.parent is None)
        self._named = bool(document.title) and document.title not in firsts
        self._live: Answer | None = None
        self._listeners: list[Callable[[Event], None]] = []
        # Held while an event leaves, so that a replay cannot slip between a change and its event.
        self._lock = threading.RLock()

    @property
    def title(self) -> str:
        """Its title: what `rename` gave it, else the beginning of the first prompt on screen; empty before that."""
        return self._title

    @property
    def model(self) -> str:
        """Name of the model that was asked last; empty before the first prompt."""
        return self._model

    @property
    def system_prompt(self) -> str:
        """What the model was told first when it was last asked."""
        return self._system_prompt

    @property
    def busy(self) -> bool:
        """True while an answer is live."""
        return self._live is not None

    @property
    def empty(self) -> bool:
        """True if nothing was said yet."""
        return not self._tree.nodes

    def connect(self, listener: Callable[[Event], None]) -> None:
        """Send all coming events to `listener`, one at a time; the first is the whole path."""
        with self._lock:
            self._listeners.append(listener)
            listener({**self._path_event(0), "conversation": self._head()})

    def disconnect(self, listener: Callable[[Event], None]) -> None:
        """Send nothing more to `listener`."""
        with self._lock:
            self._listeners.remove(listener)

    def replay(self, listener: Callable[[Event], None]) -> None:
        """Send the whole path to one listener; no other event comes between its making and its leaving."""
        with self._lock:
            content = {"conversation": self._head(), "entries": self._entries(0), "busy": self.busy}
            listener({"type": "replay", **content})

    def ask(self, text: str, model: str, attachments: Sequence[Attached] = (), *, system_prompt: str = "") -> str:
        """Add a prompt to the path, and the empty answer of `model`; return the answer's id.

        Raises:
            BusyError: An answer is live.
        """
        with self._lock:
            self._check_free()
            parent = self._tree.path[-1] if self._tree.path else None
            return self._ask(parent, text, model, list(attachments), system_prompt)

    def edit(self, prompt_id: str, text: str, model: str, *, system_prompt: str = "") -> str:
        """Say something else in place of a prompt, as a new branch with a new answer; return the answer's id.

        What was attached to the prompt stays attached.

        Raises:
            BusyError: An answer is live.
            KeyError: There is no such prompt.
        """
        with self._lock:
            self._check_free()
            old = self._tree.nodes[prompt_id]
            if not isinstance(old, Prompt):
                raise KeyError(prompt_id)
            return self._ask(old.parent, text, model, list(old.attachments), system_prompt)

    def regenerate(self, node_id: str, model: str, *, system_prompt: str = "") -> str:
        """Ask for another answer, as a new branch; return its id.

        An answer that failed without a word is replaced instead: nobody wants to switch back to it.

        Args:
            node_id: An answer, or a prompt that has none.
            model: Name of the model that answers.
            system_prompt: What the model is told first.

        Raises:
            BusyError: An answer is live.
            KeyError: There is no such node.
        """
        with self._lock:
            self._check_free()
            node, before = self._tree.nodes[node_id], list(self._tree.path)
            parent = node_id if isinstance(node, Prompt) else node.parent
            if isinstance(node, Answer) and not node.text and not node.calls and not self._tree.has_children(node_id):
                self._tree.remove(node_id)
            answer = self._begin(parent, model, system_prompt)
            self._path_changed(before, self._tree.depth(answer.id))
            return answer.id

    def switch(self, node_id: str, step: int) -> None:
        """Show the branch `step` places after that of a node; nothing happens where there is none.

        Raises:
            KeyError: There is no such node.
        """
        with self._lock:
            before = list(self._tree.path)
            if self._tree.switch(node_id, step):
                self._path_changed(before, self._tree.depth(node_id))

    def delete(self, node_id: str) -> None:
        """Remove a node and all that follows it. A live answer among that ends nowhere.

        Raises:
            KeyError: There is no such node.
        """
        with self._lock:
            before, depth = list(self._tree.path), self._tree.depth(node_id)
            self._tree.remove(node_id)
            if self._live is not None and self._live.id not in self._tree.nodes:
                self._live = None
            self._path_changed(before, depth)

    def rename(self, title: str) -> None:
        """Give the conversation another title.

        Raises:
            ValueError: The title is blank.
        """
        title = _one_line(title)
        if not title:
            raise ValueError("The title is blank.")
        with self._lock:
            self._named = True
            self._set_title(title)

    def add(self, answer_id: str, text: str) -> None:
        """Append `text` to the live answer; the text of any other is dropped."""
        with self._lock:
            answer = self._live_answer(answer_id)
            if answer is not None and text:
                answer.text += text
                self._changed({"type": "delta", "id": answer_id, "text": text}, of=answer_id)

    def set_call(self, answer_id: str, call: Call) -> None:
        """Add a tool call to the live answer, or change the one with the same id; dropped for any other answer."""
        with self._lock:
            answer = self._live_answer(answer_id)
            if answer is None:
                return
            call = msgspec.structs.replace(call)  # the caller goes on changing its own
            places = [index for index, known in enumerate(answer.calls) if known.id == call.id]
            if places:
                answer.calls[places[0]] = call
            else:
                answer.calls.append(call)
            waiting = any(known.state == "asking" for known in answer.calls)
            answer.state = State.WAITING if waiting else State.STREAMING
            event = {"type": "call", "id": answer_id, "call": _plain(call), "state": answer.state.value}
            self._changed(event, of=answer_id)

    def set_delay(self, answer_id: str, place: int | None) -> None:
        """Say what the live answer waits for, see `Answer.delay`; dropped for any other answer."""
        with self._lock:
            answer = self._live_answer(answer_id)
            if answer is not None:
                answer.delay(place)
                self._changed(
                    {"type": "state", "id": answer_id, "state": answer.state.value, **answer.figures}, of=answer_id
                )

    def end(self, answer_id: str, ending: Ending) -> None:
        """End the live answer; views get it without its text, which they have. Any other answer is left alone."""
        with self._lock:
            answer = self._live_answer(answer_id)
            if answer is None:
                return
            ending.apply_to(answer)
            self._live = None
            if self._tree.path[-1] == answer_id:
                entry = self._entry(answer)
                del entry["text"]
                self._changed({"type": "end", "answer": entry, "busy": False})
            else:
                self._changed(self._path_event(len(self._tree.path)))

    def has(self, node_id: str) -> bool:
        """True if the node is (still) in the conversation."""
        return node_id in self._tree.nodes

    def answer(self, answer_id: str) -> Answer:
        """Return a copy of an answer as it is now.

        Raises:
            KeyError: There is no such answer.
        """
        with self._lock:
            node = self._tree.nodes[answer_id]
            if not isinstance(node, Answer):
                raise KeyError(answer_id)
            return msgspec.structs.replace(node, calls=list(node.calls))

    def entries(self) -> list[dict[str, Any]]:
        """Return the path as views get it, oldest first."""
        with self._lock:
            return self._entries(0)

    def messages(
        self, system_prompt: str = "", *, answer_id: str | None = None, calls: bool = True
    ) -> list[dict[str, Any]]:
        """Return what the model should see.

        Args:
            system_prompt: What it is told first; left out if blank.
            answer_id: The answer that it is writing, with the rounds of tool calls that it has behind it. Default:
                the path on screen, to its end.
            calls: Whether tool calls and their results are included.

        Returns:
            Messages of the chat API. Prompts without an answer of any text or call are left out together with it (the
            last prompt apart), so that the roles alternate.
        """
        with self._lock:
            last = answer_id or (self._tree.path[-1] if self._tree.path else None)
            return as_messages(self._tree.line(last), system_prompt, calls=calls)

    def document(self) -> dict[str, Any]:
        """Return the whole conversation, all branches included, as `widgets.storage.document` describes it."""
        with self._lock:
            return _plain(self._document())

    def encode(self) -> bytes:
        """Return the document as JSON."""
        with self._lock:
            document = self._document()
            try:
                return msgspec.json.encode(document)
            except UnicodeEncodeError:  # half a surrogate pair, which no file takes
                return json.dumps(_plain(document), ensure_ascii=False).encode("utf-8", "replace")

    def _ask(self, parent: str | None, text: str, model: str, attachments: list[Attached], system_prompt: str) -> str:
        before = list(self._tree.path)
        prompt = Prompt(id=new_id(), parent=parent, text=clean(text), created=now(), attachments=attachments)
        self._tree.add(prompt)
        answer = self._begin(prompt.id, model, system_prompt)
        self._path_changed(before, self._tree.depth(prompt.id))
        return answer.id

    def _begin(self, parent: str | None, model: str, system_prompt: str) -> Answer:
        answer = Answer(id=new_id(), parent=parent, created=now(), model=model)
        self._tree.add(answer)
        self._live = answer
        self._model, self._system_prompt = model, system_prompt
        return answer

    def _check_free(self) -> None:
        if self._live is not None:
            raise BusyError("The last answer is still being written; stop() ends it.")

    def _live_answer(self, answer_id: str) -> Answer | None:
        return self._live if self._live is not None and self._live.id == answer_id else None

    def _changed(self, event: Event, *, of: str | None = None) -> None:
        """Tell all listeners; an event `of` an answer that is not on screen tells them nothing."""
        if event["type"] != "title":  # a new name makes nothing newer
            self._updated = now()
        if of is None or self._tree.path[-1] == of:
            for listener in self._listeners:
                listener(event)
        self.on_change(event["type"] != "delta")

    def _path_changed(self, before: list[str], depth: int) -> None:
        """Tell of a path that is another from `depth` on, or further up where it led through other branches."""
        same = 0
        for old, new in zip(before, self._tree.path, strict=False):
            if old != new or same == depth:
                break
            same += 1
        self._changed(self._path_event(same))
        if self._tree.path and not self._named:
            self._set_title(title_of(self._tree.nodes[self._tree.path[0]].text))

    def _set_title(self, title: str) -> None:
        if title != self._title:
            self._title = title
            self._changed({"type": "title", "conversation": self._head()})

    def _path_event(self, keep: int) -> Event:
        return {"type": "path", "keep": keep, "entries": self._entries(keep), "busy": self.busy}

    def _head(self) -> dict[str, str]:
        return {"id": self.id, "title": self._title}

    def _entries(self, keep: int) -> list[dict[str, Any]]:
        return [self._entry(self._tree.nodes[node_id]) for node_id in self._tree.path[keep:]]

    def _entry(self, node: AnyNode) -> dict[str, Any]:
        index, count = self._tree.branch(node.id)
        return {**as_entry(node), "branch": {"index": index, "count": count}}

    def _document(self) -> Document:
        return Document(
            version=VERSION,
            id=self.id,
            title=self._title,
            created=self._created,
            updated=self._updated,
            model=self._model,
            system_prompt=self._system_prompt,
            current=self._tree.path[-1] if self._tree.path else None,
            nodes=list(self._tree.nodes.values()),
        )


def title_of(text: str) -> str:
    """Make a title from the first prompt: its beginning, cut between words."""
    line = _one_line(text)
    if len(line) <= TITLE_LENGTH:
        return line
    head = line[:TITLE_LENGTH]
    return f"{head.rpartition(' ')[0] or head} …"


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain
