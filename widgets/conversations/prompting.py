"""From nodes of a conversation to the messages that a model gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from widgets.storage.document import Answer, Attached, Call, Prompt

Message = dict[str, Any]


def as_messages(line: Sequence[Prompt | Answer], system_prompt: str, *, calls: bool) -> list[Message]:
    """Return the messages for a line of nodes, the first prompt first; see `Conversation.messages`."""
    found: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt.strip() else []
    for index, node in enumerate(line):
        if isinstance(node, Prompt):
            reply = line[index + 1] if index + 1 < len(line) else None
            # The last answer may be live: its prompt is the one to be answered.
            if reply is None or (isinstance(reply, Answer) and (reply.state.live or _says(reply, calls))):
                found.append({"role": "user", "content": prompt_content(node.text, node.attachments)})
        elif _says(node, calls):
            found += _answer_messages(node, calls)
    return found


def prompt_content(text: str, attachments: Sequence[Attached]) -> str:
    """Return exactly what the model reads for a prompt: what is attached, then the prompt itself."""
    return "\n\n".join([*(attached.text for attached in attachments), text])


def _says(answer: Answer, calls: bool) -> bool:
    return bool(answer.text.strip() or (calls and answer.calls))


def _answer_messages(answer: Answer, calls: bool) -> list[Message]:
    """Return an answer as the model gave it: each round's text, calls and results, at last the rest of the text."""
    if not calls or not answer.calls:
        return [{"role": "assistant", "content": answer.text}]
    found: list[Message] = []
    start = 0
    for _, group in groupby(answer.calls, key=lambda call: call.round):
        made = list(group)
        end = made[0].at
        found.append(
            {"role": "assistant", "content": answer.text[start:end], "tool_calls": [_as_made(c) for c in made]}
        )
        found += [{"role": "tool", "tool_call_id": call.id, "content": call.result} for call in made]
        start = end
    if rest := answer.text[start:].strip():
        found.append({"role": "assistant", "content": rest})
    return found


def _as_made(call: Call) -> dict[str, Any]:
    arguments = call.arguments if _is_object(call.arguments) else "{}"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _is_object(arguments: str) -> bool:
    """Some servers parse the arguments of past calls, and refuse the whole conversation for a slip of the model."""
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False
