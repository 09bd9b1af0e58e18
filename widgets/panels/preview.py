"""Exactly what goes to the model with the next prompt, and what reading it costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from widgets.conversations.document import Attached

if TYPE_CHECKING:
    from widgets.panels.chat_panel import ChatPanel


def preview(panel: ChatPanel, text: str, attached: Sequence[Attached]) -> dict[str, Any]:
    """Return what a panel would send.

    Args:
        panel: The panel.
        text: The prompt.
        attached: What goes along with it.

    Returns:
        `items`, in the order in which the model reads them: `name`, `kind`, `text`, `tokens` (estimated); their
        `tokens` altogether; the `cost` of reading these in the hub's currency and the model's context `limit` in
        tokens, None where not known.
    """
    items = [*_before(panel), *((one.name, one.kind, one.text) for one in attached)]
    if text.strip():
        items.append(("prompt", "prompt", text))
    count = panel.client.count_tokens
    shown: list[dict[str, Any]] = [
        {"name": name, "kind": kind, "text": content, "tokens": count(content, panel.model)}
        for name, kind, content in items
    ]
    tokens, info = sum(item["tokens"] for item in shown), panel.model_info
    cost = None if info.input_cost is None else tokens * info.input_cost
    return {"items": shown, "tokens": tokens, "cost": cost, "limit": info.context}


def _before(panel: ChatPanel) -> list[tuple[str, str, str]]:
    """Return what comes before the prompt: tools, system prompt, the conversation so far."""
    found = []
    if panel.toolbox:
        found.append(("tools", "tools", json.dumps(panel.toolbox.schemas, indent=2, ensure_ascii=False)))
    if panel.system_prompt.strip():
        found.append(("system prompt", "system", panel.system_prompt))
    said = panel.session.conversation.messages(calls=bool(panel.toolbox))
    if said:
        lines = [f"{message['role']}: {message['content']}{_calls(message)}" for message in said]
        found.append(("conversation so far", "history", "\n\n".join(lines)))
    return found


def _calls(message: dict[str, Any]) -> str:
    made = [call["function"] for call in message.get("tool_calls", [])]
    return "".join(f"\n{function['name']}({function['arguments']})" for function in made)
