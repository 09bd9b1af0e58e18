"""From a prompt to its answer: requests to the hub, the tools that the model calls, the answer's end.

Each answer has a thread of its own, and each tool call another, so that Stop works whatever they do. A tool therefore
runs beside the notebook's cells, not between them. A function cannot be ended from outside: one that runs when the
answer is stopped goes on, and its result is dropped.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from litellm_hub.client import ChatStream, HubClient, ToolCall
from litellm_hub.client.errors import AnswerCut, HubError
from widgets.conversations.answer_figures import TOOL_ROUNDS, AnswerFigures
from widgets.conversations.loops import EVERY, WATCHED, goes_round
from widgets.conversations.pacing import Pacer
from widgets.conversations.waking import Waking
from widgets.storage.document import Answer, Call, CallState, Ending, State
from widgets.tools.toolbox import Toolbox

MAX_ROUNDS = 8  # of tool calls in one answer; the user may let it go on
_ANOTHER = "Ask again, or choose another model."
_AGAIN = "This call was made before, and not again. Answer the user with what it gave:"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is asked; what is None is left to the hub."""

    model: str
    system_prompt: str = ""
    temperature: float | None = None
    max_tokens: int | None = None


class AnswerTarget(Protocol):
    """Where answers are written: a `Conversation`, or the rounds of a comparison."""

    def add(self, answer_id: str, text: str) -> None:
        """Append to the answer."""

    def set_call(self, answer_id: str, call: Call) -> None:
        """Add a tool call to it, or change the one with the same id."""

    def set_delay(self, answer_id: str, place: int | None) -> None:
        """Say what it waits for: its turn (its place in the queue), its model to be loaded (0) or neither (None)."""

    def end(self, answer_id: str, ending: Ending) -> None:
        """End it."""

    def answer(self, answer_id: str) -> Answer:
        """Return a copy of it, or raise KeyError."""

    def messages(
        self, system_prompt: str = "", *, answer_id: str | None = None, calls: bool = True
    ) -> list[dict[str, Any]]:
        """Return what the model should see."""


class AnswerTask:
    """The writing of one answer.

    Args:
        target: Where the answer is.
        answer_id: Its id; it must be the live one.
        client: The hub.
        settings: How the model is asked.
        toolbox: What it may call.
        refusal: Ends the answer at once, for what was wrong with the prompt.
        on_end: Called on the answer's thread after its end.

    Attributes:
        error: Why the answer failed or was cut; None before the end, and if it did not.
        done: Has a result, None, when the answer has ended.
    """

    def __init__(
        self,
        target: AnswerTarget,
        answer_id: str,
        client: HubClient,
        settings: Settings,
        toolbox: Toolbox,
        *,
        refusal: HubError | None = None,
        on_end: Callable[[AnswerTask], None] = lambda _: None,
    ) -> None:
        self.target = target
        self.answer_id = answer_id
        self.settings = settings
        self.error = refusal
        self.done: Future[None] = Future()
        self.done.set_running_or_notify_cancel()  # an `await` of it that is given up must not end the answer
        self._client = client
        self._toolbox = toolbox
        self._on_end = on_end
        self._stopped = False
        self._stream: ChatStream | None = None
        self._decisions: dict[str, bool] = {}
        self._news = threading.Condition()
        self._figures = AnswerFigures()
        self._length = 0
        self._tail = ""
        self._unlooked = 0  # characters that came since the end was looked at
        self._results: dict[tuple[str, str], str] = {}  # of the calls that were made, by name and arguments
        self._final: Answer | None = None

    def start(self) -> AnswerTask:
        """Begin to write, on a thread of its own."""
        threading.Thread(target=self._run, name="chat-answer", daemon=True).start()
        return self

    def stop(self) -> None:
        """End the answer; its text so far is kept. Closes the request at once."""
        with self._news:
            self._stopped = True
            stream = self._stream
            self._news.notify_all()
        if stream is not None:
            stream.close()

    def decide(self, call_id: str, allow: bool, *, always: bool = False) -> None:
        """Say whether a call that waits for it may run; `always` lets the coming calls of this tool run as well."""
        with self._news:
            name = next((call.name for call in self.answer().calls if call.id == call_id), "")
            if allow and always:
                self._toolbox.allow_always(name)
            self._decisions.setdefault(call_id, allow)
            self._news.notify_all()

    def answer(self) -> Answer:
        """Return a copy of the answer as it is now; after its deletion, as it was at its end."""
        if self._final is not None:
            return self._final
        try:
            return self.target.answer(self.answer_id)
        except KeyError:
            return Answer(id=self.answer_id, parent=None, model=self.settings.model, state=State.STOPPED)

    def _run(self) -> None:
        try:
            if self.error is None:
                self._write()
        except HubError as error:
            self.error = None if self._stopped else error
        except Exception as error:  # a thread tells nobody, and the panel would wait for ever
            log.exception("The chat panel failed while it read an answer.")
            self.error = HubError(f"The panel failed: {error!r}.", "The kernel's log has the details.")
        try:
            self._end()
        finally:
            self.done.set_result(None)
            self._on_end(self)

    def _end(self) -> None:
        error, figures = self.error, self._figures.figures()
        if error is None:
            ending = Ending(State.STOPPED if self._stopped else State.DONE, figures)
        else:
            # A later round may fail before its first word: what the earlier ones said is there all the same.
            state = State.CUT if self._length or (isinstance(error, AnswerCut) and error.partial) else State.FAILED
            ending = Ending(state, figures, error.reason, error.remedy, error.retry)
        self.target.end(self.answer_id, ending)
        self._final = self.answer()

    def _write(self) -> None:
        for number in range(MAX_ROUNDS + 1):
            made = self._request(number)
            if not made or self._stopped:
                return
            if not self._toolbox:
                raise HubError("The model asks for a tool, though none was offered to it.", _ANOTHER, retry=True)
            if number == MAX_ROUNDS:
                self._figures.finish_reason = TOOL_ROUNDS
                return
            self._call_all(made, number)
            if self._stopped:
                return

    def _request(self, number: int) -> Sequence[ToolCall]:
        """Send one request, pass its text on, and return the calls that the model asks for."""
        stream = self._open()
        with self._news:
            self._stream = stream
            if self._stopped:
                return ()
        pacer = Pacer(self._add)
        gap = "\n\n" if number and self._length else ""
        try:
            with stream, Waking(lambda: self._client.delay(stream), self._tell_delay) as waking:
                for delta in stream:
                    waking.end()
                    pacer.write(gap + delta.text)
                    gap = ""
                    self._notice_loop(delta.text)
        finally:
            pacer.close()
            self._figures.add(stream)
        return stream.tool_calls

    def _tell_delay(self, place: int | None) -> None:
        self.target.set_delay(self.answer_id, place)

    def _notice_loop(self, text: str) -> None:
        self._tail = (self._tail + text)[-WATCHED:]
        self._unlooked += len(text)
        if self._unlooked >= EVERY:
            self._unlooked = 0
            if goes_round(self._tail):
                raise HubError("The model repeats itself, so its answer was stopped.", _ANOTHER, retry=True)

    def _open(self) -> ChatStream:
        if not self.settings.model:
            raise HubError("No model is chosen.", "Choose a model at the top of the panel.")
        settings, tools = self.settings, self._toolbox.schemas
        messages: Any = self.target.messages(
            settings.system_prompt, answer_id=self.answer_id, calls=bool(self._toolbox)
        )
        return self._client.stream_chat(
            settings.model,
            messages,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            tools=tools or None,
        )

    def _add(self, text: str) -> None:
        self._length += len(text)
        self.target.add(self.answer_id, text)

    def _call_all(self, made: Sequence[ToolCall], number: int) -> None:
        """Run the calls of one round, in order; the user sees all of them from the beginning."""
        taken = {call.id for call in self.answer().calls}
        calls = []
        for index, asked in enumerate(made):
            call_id = asked.id if asked.id and asked.id not in taken else f"{asked.id or 'call'}-{number}-{index}"
            taken.add(call_id)
            call = Call(id=call_id, name=asked.name, arguments=_pretty(asked.arguments), round=number, at=self._length)
            known = (call.name, call.arguments) in self._results
            call.state = CallState.ASKING if self._toolbox.asks(call.name) and not known else CallState.RUNNING
            calls.append(call)
            self.target.set_call(self.answer_id, call)
        for call in calls:
            self._call(call)
            self.target.set_call(self.answer_id, call)

    def _call(self, call: Call) -> None:
        if not self._toolbox.has(call.name):
            call.state, call.result = CallState.FAILED, self._toolbox.refusal(call.name)
        elif (result := self._results.get((call.name, call.arguments))) is not None:
            # Small models ask for the same again instead of reading what they got.
            call.state, call.result = CallState.DONE, f"{_AGAIN}\n{result}"
        elif not self._allowed(call):
            why = "The answer was stopped before the call." if self._stopped else "The user did not allow this call."
            call.state, call.result = CallState.DENIED, why
        else:
            call.state = CallState.RUNNING
            self.target.set_call(self.answer_id, call)
            call.state, call.result = self._run_tool(call)
            if call.state is CallState.DONE:
                self._results[call.name, call.arguments] = call.result

    def _allowed(self, call: Call) -> bool:
        """Wait for the user's word, if it is needed; False if it is no, or the answer is stopped."""
        with self._news:
            self._news.wait_for(
                lambda: self._stopped or call.id in self._decisions or not self._toolbox.asks(call.name)
            )
            return not self._stopped and self._decisions.get(call.id, True)

    def _run_tool(self, call: Call) -> tuple[CallState, str]:
        """Run a tool on a thread of its own and wait for it, or for Stop."""
        outcome: list[tuple[CallState, str]] = []

        def run() -> None:
            # A tool turns the errors of its function into text; what gets past it ends the thread.
            found = CallState.FAILED, "The function ended its thread."
            try:
                result = self._toolbox.call(call.name, call.arguments)
                found = CallState.FAILED if result.failed else CallState.DONE, result.text
            finally:
                with self._news:
                    outcome.append(found)
                    self._news.notify_all()

        threading.Thread(target=run, name=f"chat-tool-{call.name}", daemon=True).start()
        with self._news:
            self._news.wait_for(lambda: self._stopped or bool(outcome))
        return outcome[0] if outcome else (CallState.FAILED, "The answer was stopped while this function ran.")


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), indent=2, ensure_ascii=False)
    except ValueError:
        return arguments  # the tool tells the model what is wrong with them
