"""Conversations of other programs as documents of the chat panel's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from widgets.conversations.document import VERSION, new_id, now

_FORMS = (
    "It must be a conversation exported from the chat panel, a list of chat messages, "
    "or one conversation of ChatGPT's data export."
)


def as_document(data: object) -> object:
    """Turn decoded JSON into a document, which is still to be checked by `widgets.conversations.document.parse`.

    Raises:
        ValueError: It has none of the known forms, or a message in it cannot be understood.
    """
    if isinstance(data, dict) and "nodes" in data:
        return data
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict) and "mapping" in data[0]:
        data = data[0]
    if isinstance(data, dict) and isinstance(data.get("mapping"), dict):
        return _document(_exported_messages(data), title=str(data.get("title") or ""))
    if isinstance(data, list) and data and all(isinstance(item, dict) and "mapping" in item for item in data):
        raise ValueError(f"This holds {len(data)} conversations; import them one by one.")
    title, model = "", ""
    if isinstance(data, dict) and "messages" in data:
        title, model, data = str(data.get("title") or ""), str(data.get("model") or ""), data["messages"]
    if isinstance(data, list):
        return _document(list(data), title=title, model=model)
    kind = "an object without nodes or messages" if isinstance(data, dict) else f"a JSON {type(data).__name__}"
    raise ValueError(f"This is {kind}. {_FORMS}")


def _exported_messages(data: dict[str, Any]) -> list[Any]:
    """Return the messages of the branch on screen of a ChatGPT export, in OpenAI's form."""
    mapping, current = data["mapping"], data.get("current_node")
    line: list[Any] = []
    while current is not None:
        entry = mapping.get(current)
        if not isinstance(entry, dict) or len(line) > len(mapping):
            raise ValueError(f"The entry {current!r} of the mapping is missing or no object.")
        if isinstance(message := entry.get("message"), dict):
            line.append(message)
        current = entry.get("parent")
    messages = []
    for message in reversed(line):
        content = message.get("content") or {}
        parts = content.get("parts") or [] if content.get("content_type") in {"text", "multimodal_text"} else []
        text = "\n".join(part for part in parts if isinstance(part, str))
        role = (message.get("author") or {}).get("role")
        if text.strip() and role in {"user", "assistant"}:  # the rest is the service's own book-keeping
            messages.append({"role": role, "content": text})
    return messages


def _document(messages: list[Any], *, title: str = "", model: str = "") -> dict[str, Any]:
    if not messages:
        raise ValueError(f"This holds no messages. {_FORMS}")
    made = now()
    system: list[str] = []
    nodes: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        role, text = _role(message, place), _text(message, place)
        if role in {"system", "developer"}:
            system.append(text)
        elif role == "tool":
            _take_result(nodes, message, text, place)
        else:
            _add_turn(nodes, role, text, made, model, place)
            if role == "assistant":
                _add_calls(nodes[-1], message, place)
    if not nodes:
        raise ValueError("This holds no message of a user.")
    first = " ".join(nodes[0]["text"].split())
    return {
        "version": VERSION,
        "id": new_id(),
        "title": title or first[:60] or "Imported conversation",
        "created": made,
        "updated": made,
        "model": model,
        "system_prompt": "\n\n".join(system),
        "nodes": nodes,
        "current": nodes[-1]["id"],
    }


def _role(message: Any, place: int) -> str:
    if not isinstance(message, dict):
        raise ValueError(f"messages[{place}] is no object.")
    role = message.get("role")
    if role not in {"system", "developer", "user", "assistant", "tool"}:
        raise ValueError(f"messages[{place}].role is {role!r}; it must be system, user, assistant or tool.")
    return str(role)


def _text(message: dict[str, Any], place: int) -> str:
    content = message.get("content")
    if content is None and message.get("tool_calls"):
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"messages[{place}].content must be a text or a list of parts.")
    return "\n".join(_part_texts(content, place))


def _part_texts(parts: list[Any], place: int) -> Iterator[str]:
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in {"text", "input_text", "output_text"} and isinstance(part.get("text"), str):
            yield part["text"]
        else:
            raise ValueError(
                f"messages[{place}].content[{number}] is no text (type {kind!r}); pictures cannot be imported."
            )


def _add_turn(nodes: list[dict[str, Any]], role: str, text: str, made: str, model: str, place: int) -> None:
    """Add a turn; what the same side says next belongs to it, as roles alternate in a document."""
    if nodes and nodes[-1]["role"] == role:
        nodes[-1]["text"] = "\n\n".join(part for part in (nodes[-1]["text"], text) if part)
        return
    if not nodes and role == "assistant":
        raise ValueError(f"messages[{place}] is an answer before the first prompt.")
    parent = nodes[-1]["id"] if nodes else None
    node: dict[str, Any] = {"id": new_id(), "parent": parent, "role": role, "text": text, "created": made}
    if role == "assistant":
        node |= {"model": model, "state": "done", "calls": []}
    nodes.append(node)


def _add_calls(answer: dict[str, Any], message: dict[str, Any], place: int) -> None:
    round_ = max((call["round"] + 1 for call in answer["calls"]), default=0)
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(f"messages[{place}].tool_calls[{number}] names no function.")
        answer["calls"].append(
            {
                "id": str(call.get("id") or new_id()),
                "name": function["name"],
                "arguments": str(function.get("arguments") or "{}"),
                "state": "failed",
                "result": "The imported conversation holds no result.",
                "round": round_,
                "at": len(answer["text"]),
            }
        )


def _take_result(nodes: list[dict[str, Any]], message: dict[str, Any], text: str, place: int) -> None:
    calls = nodes[-1].get("calls", []) if nodes else []
    for call in calls:
        if call["id"] == message.get("tool_call_id"):
            call["result"], call["state"] = text, "done"
            return
    raise ValueError(f"messages[{place}] is the result of a call {message.get('tool_call_id')!r} that nobody made.")
