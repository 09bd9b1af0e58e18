"""Exactly what goes to the model with the next prompt, and what reading it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from litellm_hub.client import ModelInfo
from widgets.conversations.answer_task import Settings
from widgets.conversations.conversation import Conversation
from widgets.storage.document import Attached
from widgets.tools.toolbox import Toolbox


def preview(
    text: str,
    attached: Sequence[Attached],
    *,
    settings: Settings,
    conversation: Conversation,
    toolbox: Toolbox,
    info: ModelInfo,
    count_tokens: Callable[[str, str], int],
) -> dict[str, Any]:
    """Return what would be sent.

    Args:
        text: The prompt.
        attached: What goes along with it.
        settings: How the model is asked.
        conversation: What was said so far.
        toolbox: What the model may call.
        info: Context and prices of the model.
        count_tokens: Estimates the tokens of a text for a model.

    Returns:
        `items`, in the order in which the model reads them: `name`, `kind`, `text`, `tokens` (estimated); their
        `tokens` altogether; the `cost` of reading these in the hub's currency and the model's context `limit` in
        tokens, None where not known.
    """
    items = [*_before(settings, conversation, toolbox), *((one.name, one.kind, one.text) for one in attached)]
    if text.strip():
        items.append(("prompt", "prompt", text))
    shown: list[dict[str, Any]] = [
        {"name": name, "kind": kind, "text": content, "tokens": count_tokens(content, settings.model)}
        for name, kind, content in items
    ]
    tokens = sum(item["tokens"] for item in shown)
    cost = None if info.input_cost is None else tokens * info.input_cost
    return {"items": shown, "tokens": tokens, "cost": cost, "limit": info.context}


def _before(settings: Settings, conversation: Conversation, toolbox: Toolbox) -> Iterator[tuple[str, str, str]]:
    """Yield what comes before the prompt: tools, system prompt, the conversation so far."""
    if toolbox:
        yield "tools", "tools", json.dumps(toolbox.schemas, indent=2, ensure_ascii=False)
    if settings.system_prompt.strip():
        yield "system prompt", "system", settings.system_prompt
    said = conversation.messages(calls=bool(toolbox))
    if said:
        lines = [f"{message['role']}: {message['content']}{_calls(message)}" for message in said]
        yield "conversation so far", "history", "\n\n".join(lines)


def _calls(message: dict[str, Any]) -> str:
    made = [call["function"] for call in message.get("tool_calls", [])]
    return "".join(f"\n{function['name']}({function['arguments']})" for function in made)
