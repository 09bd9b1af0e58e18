"""The conversation behind a chat panel: what was said, and the events that keep views of it up to date.

Each change is one event with the next sequence number. A view that is new, or that finds a gap in the numbers, asks for
a replay: the whole conversation with the number of its last event. So every view shows the same text, however the
answer was cut into pieces and whenever the view came.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from litellm_hub.client import Message

Event = dict[str, Any]


class State(StrEnum):
    """How far an answer has come."""

    STREAMING = "streaming"
    DONE = "done"
    STOPPED = "stopped"
    CUT = "cut"
    FAILED = "failed"


@dataclass
class Entry:
    """A prompt or an answer.

    Attributes:
        id: Number of the entry, never used twice.
        role: "user" or "assistant".
        text: What was said so far.
        state: How far it has come; a prompt is always done.
        model: The model that answers; empty for a prompt.
        reason: Why the answer was cut or failed; empty otherwise.
        remedy: What to do about it; empty otherwise.
        figures: What the answer took, see `widgets.chat_panel`.
    """

    id: int
    role: str
    text: str
    state: State = State.DONE
    model: str = ""
    reason: str = ""
    remedy: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


class Conversation:
    """An ordered list of prompts and answers, safe to use from several threads.

    Args:
        emit: Called with every event, in order, one at a time. It must not call back.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._entries: list[Entry] = []
        self._sequence = 0
        self._next_id = 1
        # Held while an event leaves, so that a replay cannot slip between a change and its event.
        self._lock = threading.RLock()

    def ask(self, text: str, model: str) -> int:
        """Add a prompt and the empty answer of `model`; return the answer's id."""
        with self._lock:
            question = self._add(Entry(self._next_id, "user", text))
            answer = self._add(Entry(self._next_id, "assistant", "", State.STREAMING, model))
            self._tell("begin", question=asdict(question), answer=asdict(answer))
            return answer.id

    def add(self, answer_id: int, text: str) -> None:
        """Append `text` to an answer that is still streaming; the text of any other is dropped."""
        with self._lock:
            entry = self._streaming(answer_id)
            if entry is not None and text:
                entry.text += text
                self._tell("delta", id=answer_id, text=text)

    def end(
        self, answer_id: int, state: State, *, figures: dict[str, Any] | None = None, reason: str = "", remedy: str = ""
    ) -> None:
        """End an answer that is still streaming; views get it without its text, which they have."""
        with self._lock:
            entry = self._streaming(answer_id)
            if entry is None:
                return
            entry.state, entry.reason, entry.remedy = state, reason, remedy
            entry.figures = dict(figures or {})
            answer = asdict(entry)
            del answer["text"]
            self._tell("end", answer=answer)

    def clear(self) -> None:
        """Forget everything; an answer that is still streaming ends nowhere."""
        with self._lock:
            self._entries.clear()
            self._tell("clear")

    def replay(self) -> None:
        """Emit the whole conversation for views that lack some of it. The sequence number stays."""
        with self._lock:
            entries = [asdict(entry) for entry in self._entries]
            self._emit({"type": "replay", "seq": self._sequence, "entries": entries})

    def entries(self) -> list[dict[str, Any]]:
        """Return copies of all entries, oldest first."""
        with self._lock:
            return [asdict(entry) for entry in self._entries]

    def messages(self, system_prompt: str = "") -> list[Message]:
        """Return what the model should see: prompts with their answers, the last prompt, and the system prompt.

        A prompt whose answer brought no text is left out together with it: models expect the roles to alternate.
        """
        found: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt.strip() else []
        with self._lock:
            for question, answer in zip(self._entries[::2], self._entries[1::2], strict=True):
                if answer.text or answer.state is State.STREAMING:
                    found.append({"role": "user", "content": question.text})
                if answer.text:
                    found.append({"role": "assistant", "content": answer.text})
        return found

    def _add(self, entry: Entry) -> Entry:
        self._entries.append(entry)
        self._next_id += 1
        return entry

    def _streaming(self, answer_id: int) -> Entry | None:
        last = self._entries[-1] if self._entries else None
        return last if last and last.id == answer_id and last.state is State.STREAMING else None

    def _tell(self, kind: str, **content: Any) -> None:
        self._sequence += 1
        self._emit({"type": kind, "seq": self._sequence, **content})
