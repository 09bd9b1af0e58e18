"""What a conversation is made of, and its form in files.

A document is JSON: {"version": 1, "id", "title", "created", "updated", "model", "system_prompt", "nodes", "current"}.
`nodes` is a tree: each names its `parent` (null for a first prompt) and comes after it; nodes with the same parent are
branches, in the order in which they were made. `current` is the last node of the branch that was on screen.
Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

VERSION = 1
Figures = dict[str, Any]


class State(StrEnum):
    """How far an answer has come."""

    STREAMING = "streaming"
    QUEUED = "queued"  # it is others' turn in the hub; `figures` has its `place`
    LOADING = "loading"  # the runtime has to load the model first
    WAITING = "waiting"  # for the user's word on a tool call
    DONE = "done"
    STOPPED = "stopped"
    CUT = "cut"
    FAILED = "failed"

    @property
    def live(self) -> bool:
        """True while more may come."""
        return self in {State.STREAMING, State.QUEUED, State.LOADING, State.WAITING}


class CallState(StrEnum):
    """How far a tool call has come."""

    ASKING = "asking"
    RUNNING = "running"
    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"

    @property
    def live(self) -> bool:
        """True while the call has no result."""
        return self in {CallState.ASKING, CallState.RUNNING}


class Call(msgspec.Struct, kw_only=True):
    """A call of a tool that an answer makes.

    Attributes:
        id: The model's name for the call.
        name: Name of the tool.
        arguments: The arguments as JSON text, as the model wrote them.
        state: How far it has come.
        result: What the model is told about the outcome; empty while the call is live.
        round: Calls that the model made together have the same number, from 0.
        at: Characters of the answer's text that came before the call.
    """

    id: str
    name: str
    arguments: str = "{}"
    state: CallState = CallState.ASKING
    result: str = ""
    round: int = 0
    at: int = 0


class Attached(msgspec.Struct, kw_only=True):
    """Something of the notebook that went along with a prompt.

    Attributes:
        name: Name of the variable.
        kind: What it was, for people ("DataFrame", "list", …).
        text: What the model was told about it.
        tokens: Estimated size of `text` in tokens.
    """

    name: str
    kind: str = ""
    text: str = ""
    tokens: int = 0


class Node(msgspec.Struct, kw_only=True):
    """What prompts and answers have in common: id (never used twice), parent's id, text, time of its making."""

    id: str
    parent: str | None
    text: str = ""
    created: str = ""


class Prompt(Node, tag_field="role", tag="user", kw_only=True):
    """What the user said."""

    attachments: list[Attached] = []


class Answer(Node, tag_field="role", tag="assistant", kw_only=True):
    """What a model said.

    Attributes:
        model: Name of the model.
        state: How far it has come.
        reason: Why the answer was cut or failed; empty otherwise.
        remedy: What to do about it; empty otherwise.
        retry: True if the same request may succeed when sent again.
        figures: What the answer took, see `widgets.conversations.answer_figures`; empty while it is written.
        calls: Its tool calls, in order.
    """

    model: str = ""
    state: State = State.STREAMING
    reason: str = ""
    remedy: str = ""
    retry: bool = False
    figures: Figures = {}
    calls: list[Call] = []

    def delay(self, place: int | None) -> None:
        """Say what it waits for: its turn (its place in the queue), its model to be loaded (0) or neither (None)."""
        self.figures = {"place": place} if place else {}
        self.state = State.QUEUED if place else State.STREAMING if place is None else State.LOADING


class Ending(msgspec.Struct, frozen=True):
    """How an answer ended; the attributes are those of `Answer`."""

    state: State
    figures: Figures = {}
    reason: str = ""
    remedy: str = ""
    retry: bool = False

    def apply_to(self, answer: Answer) -> None:
        """Give `answer` this end, and its open calls theirs."""
        answer.state, answer.reason, answer.remedy, answer.retry = self.state, self.reason, self.remedy, self.retry
        answer.figures = dict(self.figures)
        end_calls(answer, "The answer ended before the call did.")


class Summary(msgspec.Struct, kw_only=True):
    """The head of a document, without what was said."""

    version: int
    id: str
    title: str = ""
    created: str = ""
    updated: str = ""
    model: str = ""
    system_prompt: str = ""
    current: str | None = None


class Document(Summary, kw_only=True):
    """A whole conversation."""

    nodes: list[Prompt | Answer]


class DocumentError(ValueError):
    """A text that is no conversation, or one of a version that is not known here; the message says which and why."""


_decoder = msgspec.json.Decoder(Document)
_head = msgspec.json.Decoder(Summary)


def now() -> str:
    """Return the time as documents write it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id() -> str:
    """Return an id that no other conversation or node has."""
    return uuid.uuid4().hex[:16]


def as_entry(node: Prompt | Answer) -> dict[str, Any]:
    """Return a node as views get it: plain values, without its parent and without the texts that went along."""
    entry: dict[str, Any] = msgspec.to_builtins(node)
    del entry["parent"]
    for attached in entry.get("attachments", []):
        del attached["text"]  # may be long, and is not shown
    return entry


def read_head(data: bytes | str) -> Summary:
    """Read a document's head alone, which is much faster than the whole.

    Raises:
        DocumentError: It is none, or of a newer version.
    """
    try:
        head = _head.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DocumentError(f"This is no conversation of the chat panel: {error}.") from error
    if head.version != VERSION:
        raise DocumentError(f"The conversation has the form {head.version}; this version of the panel reads {VERSION}.")
    return head


def parse(data: bytes | str | dict[str, Any]) -> Document:
    """Read and check a document.

    Args:
        data: JSON text, or what it decodes to.

    Raises:
        DocumentError: It is none, of a newer version, or its nodes are no tree; the message names the place.
    """
    if isinstance(data, dict):
        data = msgspec.json.encode(data)
    read_head(data)
    try:
        document = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DocumentError(f"The conversation has a part of an unexpected form: {error}.") from error
    known: set[str | None] = {None}
    for index, node in enumerate(document.nodes):
        if node.id in known:
            raise DocumentError(f"Two parts of the conversation have the id {node.id!r} (the second: nodes[{index}]).")
        if node.parent not in known:
            raise DocumentError(f"nodes[{index}] follows {node.parent!r}, which does not come before it.")
        known.add(node.id)
    if document.current not in known:
        raise DocumentError(f"The current node {document.current!r} is not in the conversation.")
    return document


def recover(document: Document) -> Document:
    """Give answers that were live when the document was written the end that they had: their kernel died."""
    for node in document.nodes:
        if isinstance(node, Answer) and node.state.live:
            node.state, node.retry = State.CUT, True
            node.reason = "The kernel ended while this answer was being written."
            node.remedy = "What was saved is kept; retry for a whole answer."
            end_calls(node, "The kernel ended before the call did.")
    return document


def end_calls(answer: Answer, why: str) -> None:
    """Give calls without a result the result `why`: a model that sees a call must see a result."""
    for call in answer.calls:
        if call.state.live:
            call.state, call.result = CallState.FAILED, why
