"""Calls of tools that a model asks for, put together from the pieces of a stream."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for.

    Attributes:
        id: Name of the call; the message with its result repeats it as `tool_call_id`.
        name: Name of the tool.
        arguments: The arguments as the model wrote them: JSON text if it did well.
    """

    id: str
    name: str
    arguments: str

    def as_dict(self) -> dict[str, Any]:
        """Return the call as an assistant's message carries it in `tool_calls`."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass
class _Draft:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCallCollector:
    """Puts calls together. The pieces of one call have the same index; some runtimes give new calls an old index."""

    def __init__(self) -> None:
        self._drafts: list[_Draft] = []
        self._by_index: dict[int | None, _Draft] = {}

    def __bool__(self) -> bool:
        return bool(self._drafts)

    def add(self, pieces: list[Any]) -> None:
        """Take the `delta.tool_calls` of one chunk.

        Raises:
            AttributeError, TypeError, ValueError: It has not the form that the API prescribes.
        """
        for piece in pieces:
            function = piece.get("function") or {}
            draft = self._draft(piece.get("index"), _text(piece.get("id")), _text(function.get("name")))
            arguments = function.get("arguments")
            if isinstance(arguments, dict):  # Ollama's own form
                draft.arguments = [json.dumps(arguments)]
            elif arguments is not None:
                draft.arguments.append(_text(arguments))

    def calls(self) -> tuple[ToolCall, ...]:
        """Return the calls so far, in the order in which the model asked for them."""
        return tuple(ToolCall(draft.id, draft.name, "".join(draft.arguments)) for draft in self._drafts)

    def _draft(self, index: int | None, call_id: str, name: str) -> _Draft:
        """Return the draft that a piece belongs to, with what the piece says about it."""
        draft = self._by_index.get(index)
        another = draft is not None and name and (call_id != draft.id if call_id else index is None and draft.name)
        if draft is None or another:
            # A call without an id still needs one: its result must be told apart from those of other calls.
            draft = self._by_index[index] = _Draft(call_id or f"call_{secrets.token_hex(12)}")
            self._drafts.append(draft)
        draft.name = draft.name or name
        return draft


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {value!r}")
    return value
