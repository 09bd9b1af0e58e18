"""What `panel.ask` returns: an answer that may still be on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from widgets.conversations.answer_task import AnswerTask
from widgets.storage.document import Figures, State


class AnswerHandle:
    """An answer, from its beginning on. `await` it for the end; that blocks neither the panel nor its Stop button.

        answer = await panel.ask("Name three colours.")
        answer.text, answer.figures["cost"]

    Nobody has to await it: the answer streams into the panel all the same.
    """

    def __init__(self, task: AnswerTask) -> None:
        self._task = task

    def __repr__(self) -> str:
        return f"<answer of {self.model or 'no model'}, {self.state.value}: {self.text!r}>"

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """What has arrived so far."""
        return self._task.answer().text

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._task.answer().model

    @property
    def state(self) -> State:
        """How far it is: "queued", "loading" (its model), "streaming", "waiting" (for a tool's approval) or its end."""
        return self._task.answer().state

    @property
    def figures(self) -> Figures:
        """What it took, see `widgets.conversations.answer_figures.AnswerFigures.figures`; empty before the end."""
        return self._task.answer().figures

    def wait(self, timeout: float | None = None) -> AnswerHandle:
        """Wait for the end. In a notebook prefer `await`, which leaves the kernel free for the panel.

        Args:
            timeout: Longest wait in seconds; None waits as long as it takes.

        Returns:
            Itself. A stopped answer has the state "stopped" and what had arrived.

        Raises:
            TimeoutError: It did not end in time; it goes on.
            HubError: It failed or was cut (see `litellm_hub.client.errors`); `text` has what had arrived.
        """
        try:
            self._task.done.result(timeout)
        except TimeoutError:
            raise TimeoutError(f"The answer did not end within {timeout} s.") from None
        return self._outcome()

    def __await__(self) -> Generator[object, None, AnswerHandle]:
        yield from asyncio.wrap_future(self._task.done).__await__()
        return self._outcome()

    def _outcome(self) -> AnswerHandle:
        if self._task.error is not None:
            raise self._task.error
        return self
