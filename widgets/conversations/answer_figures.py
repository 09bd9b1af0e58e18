"""What an answer took: times, tokens, cost."""

from __future__ import annotations

from litellm_hub.client import ChatStream
from litellm_hub.client.figures import generated
from widgets.storage.document import Figures

TOOL_ROUNDS = "tool_rounds"  # the answer ended because the model had called tools often enough


class AnswerFigures:
    """Adds up the requests of one answer: one, and one more after each round of tool calls.

    Attributes:
        finish_reason: Why the last request ended, in the runtime's word; or `TOOL_ROUNDS`.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._duration = 0.0
        self._writing = 0.0
        self._written = 0
        self._tokens: tuple[int, int] | None = None
        self._context: int | None = None
        self._cost: float | None = None
        self.finish_reason: str | None = None

    def add(self, stream: ChatStream) -> None:
        """Take the figures of a request that has ended."""
        first, duration, usage = stream.time_to_first_token, stream.duration or 0.0, stream.usage
        if self._first is None and first is not None:
            self._first = self._duration + first
        self._duration += duration
        self.finish_reason = stream.finish_reason
        if usage is None:
            return
        known = self._tokens or (0, 0)
        self._tokens = known[0] + usage.prompt_tokens, known[1] + usage.completion_tokens
        self._context = usage.prompt_tokens + usage.completion_tokens
        if usage.cost is not None:
            self._cost = (self._cost or 0.0) + usage.cost
        written, writing = generated(usage.completion_tokens, first, duration) or (0, 0.0)
        self._written += written
        self._writing += writing

    def figures(self) -> Figures:
        """Return times in seconds, tokens, cost in the hub's currency (US dollars by default); None where not known.

        Keys: `first_token_s`, `duration_s`, `tokens_per_s`, `prompt_tokens`, `completion_tokens`, `cost`,
        `finish_reason`, and `context_tokens`: how much of the model's context the last request and its answer fill,
        which is less than the sum of all tokens where tools were called. Times are those of the requests alone,
        without tools and the user's thinking about them.
        """
        return {
            "first_token_s": self._first,
            "duration_s": self._duration,
            "tokens_per_s": self._written / self._writing if self._writing else None,
            "prompt_tokens": self._tokens[0] if self._tokens else None,
            "completion_tokens": self._tokens[1] if self._tokens else None,
            "context_tokens": self._context,
            "cost": self._cost,
            "finish_reason": self.finish_reason,
        }
