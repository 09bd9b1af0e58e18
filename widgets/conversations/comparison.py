"""A comparison: rounds of one prompt and the answers of several models, and the events that keep its views up to date.

Events as those of `widgets.conversations.conversation`, and `choice`, which answer of a round the user likes best;
entries carry `round`, those of prompts `choice` and those of answers `column`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from widgets.context.rendering import clean
from widgets.conversations.conversation import BusyError, Event
from widgets.conversations.prompting import as_messages
from widgets.storage.document import Answer, Call, Ending, Prompt, as_entry, new_id, now


@dataclass
class Round:
    """One prompt and its answers.

    Attributes:
        id: Never used twice.
        prompt: The prompt.
        answers: The answers, in the order of the models.
        choice: Id of the answer that the user likes best, empty if none; None before the choice.
    """

    id: str
    prompt: Prompt
    answers: list[Answer] = field(default_factory=list)
    choice: str | None = None

    @property
    def columns(self) -> dict[str, int]:
        """The place of each answer on screen, by id. Ids are random, so that the place tells nothing of the model."""
        return {name: place for place, name in enumerate(sorted(answer.id for answer in self.answers))}


class Comparison:
    """The rounds of one panel, safe to use from several threads.

    Args:
        send: Called with every event, in order, one at a time. It must not call back, and not wait.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._rounds: list[Round] = []
        self._sequence = 0
        # Held while an event leaves, so that a replay cannot slip between a change and its event.
        self._lock = threading.RLock()

    @property
    def busy(self) -> bool:
        """True while an answer is being written."""
        return any(answer.state.live for round_ in self._rounds for answer in round_.answers)

    def ask(self, text: str, models: Sequence[str]) -> Round:
        """Begin a round.

        Raises:
            BusyError: An answer of the last one is still being written.
        """
        with self._lock:
            if self.busy:
                raise BusyError("The last answers are still being written; stop() ends them.")
            keep = len(self._entries())
            made = Round(new_id(), Prompt(id=new_id(), parent=None, text=clean(text), created=now()))
            made.answers = [Answer(id=new_id(), parent=made.prompt.id, created=now(), model=model) for model in models]
            self._rounds.append(made)
            self._tell("path", keep=keep, entries=self._entries()[keep:], busy=True)
            return made

    def add(self, answer_id: str, text: str) -> None:
        """Append `text` to an answer that is being written."""
        with self._lock:
            answer = self._live(answer_id)
            if answer is not None and text:
                answer.text += text
                self._tell("delta", id=answer_id, text=text)

    def set_delay(self, answer_id: str, place: int | None) -> None:
        """Say what an answer waits for, see `Answer.delay`."""
        with self._lock:
            answer = self._live(answer_id)
            if answer is not None:
                answer.delay(place)
                self._tell("state", id=answer_id, state=answer.state.value, **answer.figures)

    def set_call(self, answer_id: str, call: Call) -> None:
        """Models that are compared get no tools, so that none of them can call one."""
        raise NotImplementedError(f"{answer_id} calls {call.name}")

    def end(self, answer_id: str, ending: Ending) -> None:
        """End an answer that is being written; views get it without its text, which they have."""
        with self._lock:
            answer = self._live(answer_id)
            if answer is None:
                return
            ending.apply_to(answer)
            entry = next(entry for entry in self._entries() if entry["id"] == answer_id)
            del entry["text"]
            self._tell("end", answer=entry, busy=self.busy)

    def choose(self, round_id: str, answer_id: str) -> None:
        """Say which answer of a round is best, empty for none. That counts once, and when all have ended.

        Raises:
            KeyError: There is no such round, or no such answer in it.
        """
        with self._lock:
            round_ = {one.id: one for one in self._rounds}[round_id]
            if answer_id and answer_id not in round_.columns:
                raise KeyError(answer_id)
            if round_.choice is None and not any(answer.state.live for answer in round_.answers):
                round_.choice = answer_id
                self._tell("choice", round=round_id, choice=answer_id)

    def replay(self) -> None:
        """Send everything, with the number of the last event, for views that lack some of it."""
        with self._lock:
            content = {"entries": self._entries(), "busy": self.busy}
            self._send({"type": "replay", "seq": self._sequence, **content})

    def entries(self) -> list[dict[str, Any]]:
        """Return what is on screen, oldest first: of each round the prompt and then the answers."""
        with self._lock:
            return self._entries()

    def answer(self, answer_id: str) -> Answer:
        """Return a copy of an answer as it is now.

        Raises:
            KeyError: There is no such answer.
        """
        with self._lock:
            return msgspec.structs.replace(self._answer(answer_id))

    def messages(
        self, system_prompt: str = "", *, answer_id: str | None = None, calls: bool = True
    ) -> list[dict[str, Any]]:
        """Return what the model of an answer should see: all prompts up to its own, and its own earlier answers.

        Args:
            system_prompt: What it is told first; left out if blank.
            answer_id: The answer that it is writing. It must be given.
            calls: Of no meaning here.
        """
        with self._lock:
            model = self._answer(answer_id or "").model
            line: list[Prompt | Answer] = []
            for round_ in self._rounds:
                own = [answer for answer in round_.answers if answer.model == model]
                if own:
                    line += [round_.prompt, own[0]]
                if own and own[0].id == answer_id:
                    break
            return as_messages(line, system_prompt, calls=False)

    def _answer(self, answer_id: str) -> Answer:
        for round_ in self._rounds:
            for answer in round_.answers:
                if answer.id == answer_id:
                    return answer
        raise KeyError(answer_id)

    def _live(self, answer_id: str) -> Answer | None:
        answer = self._answer(answer_id)
        return answer if answer.state.live else None

    def _tell(self, kind: str, **content: Any) -> None:
        self._sequence += 1
        self._send({"type": kind, "seq": self._sequence, **content})

    def _entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for round_ in self._rounds:
            found.append({**as_entry(round_.prompt), "round": round_.id, "choice": round_.choice})
            columns = round_.columns
            for answer in round_.answers:
                found.append({**as_entry(answer), "round": round_.id, "column": columns[answer.id]})
        return found
