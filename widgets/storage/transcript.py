"""A conversation as Markdown, as a notebook and as JSON.

Markdown and notebook show the branch that was on screen; JSON holds all. Documents are those of
`widgets.storage.document`, decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import nbformat

from widgets.storage.code_blocks import closed, fenced, split_fences

Document = Mapping[str, Any]
Node = Mapping[str, Any]

_PYTHON = {"python", "py", "python3", "ipython", "ipython3"}
_MAGIC = {"bash": "%%bash", "sh": "%%bash", "shell": "%%bash", "html": "%%html", "javascript": "%%javascript"}
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,56}")


def to_markdown(document: Document) -> str:
    """Return the branch on screen as Markdown, each turn under a heading of its own."""
    parts = [f"# {_title(document)}", _about(document)]
    if document.get("system_prompt", "").strip():
        parts += ["## System prompt", closed(document["system_prompt"])]
    for node in path(document):
        parts += [f"## {_speaker(node)}", *_turn(node)]
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def to_notebook(document: Document) -> str:
    """Return the branch on screen as a notebook (nbformat 4.5, JSON text).

    Prompts are Markdown cells; of the answers, Python code blocks become code cells, shell, HTML and JavaScript blocks
    become code cells with IPython's magic for them, and all else becomes Markdown. Nothing has been run.
    """
    cells = [_markdown(f"# {_title(document)}\n\n{_about(document)}") | {"id": "head"}]
    if document.get("system_prompt", "").strip():
        cells.append(_markdown(f"**System prompt**\n\n{document['system_prompt']}") | {"id": "system-prompt"})
    for number, node in enumerate(path(document)):
        # The same conversation gives the same notebook each time, so that versions can be compared.
        stem = node["id"] if _CELL_ID.fullmatch(node["id"]) else f"turn{number}"
        for place, cell in enumerate(_cells(node)):
            cells.append({**cell, "id": f"{stem}-{place}"})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "title": _title(document)}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    nbformat.validate(notebook)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def to_json(document: Document) -> str:
    """Return the whole conversation, all branches included, as JSON text; `widgets.storage.document.parse` reads it."""
    return json.dumps(document, ensure_ascii=False, indent=1)


def path(document: Document) -> list[Node]:
    """Return the nodes of the branch on screen, the first prompt first."""
    nodes = {node["id"]: node for node in document["nodes"]}
    found: list[Node] = []
    current = document.get("current")
    while current is not None:
        node = nodes[current]
        found.append(node)
        current = node["parent"]
    return found[::-1]


def _title(document: Document) -> str:
    return " ".join(str(document.get("title", "")).split()) or "Conversation"


def _about(document: Document) -> str:
    when = _time(document.get("created", ""))
    models = sorted({node["model"] for node in path(document) if node.get("model")})
    said = [f"Model{'s' if len(models) > 1 else ''}: {', '.join(models)}." if models else "", when]
    return " ".join(part for part in said if part)


def _time(text: str) -> str:
    try:
        return f"Begun {datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC."
    except ValueError:
        return ""


def _speaker(node: Node) -> str:
    return "You" if node["role"] == "user" else node.get("model") or "Assistant"


def _turn(node: Node) -> Iterator[str]:
    """Yield the Markdown of a turn, part by part; tool calls stand where they were made."""
    if node["role"] == "user":
        if attached := node.get("attachments"):
            yield "Attached: " + ", ".join(f"`{one['name']}` ({one.get('kind') or 'variable'})" for one in attached)
        yield closed(node["text"])
        return
    start = 0
    for call in node.get("calls", ()):
        yield closed(node["text"][start : call.get("at", start)])
        yield _call(call)
        start = max(start, call.get("at", start))
    yield closed(node["text"][start:])
    if note := _ending(node):
        yield f"*{note}*"


def _call(call: Mapping[str, Any]) -> str:
    head = f"Tool call `{call['name']}` ({call.get('state', 'done')}):"
    return f"{head}\n\n{fenced(call.get('arguments', ''), 'json')}\n\n{fenced(call.get('result', ''), 'text')}"


def _ending(node: Node) -> str:
    state = node.get("state", "done")
    if state == "stopped":
        return "Stopped by the user."
    return f"The answer is not whole: {node.get('reason') or state}" if state in {"cut", "failed"} else ""


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": text, "execution_count": None, "outputs": []}


def _cells(node: Node) -> Iterator[dict[str, Any]]:
    if node["role"] == "user":
        yield _markdown("\n\n".join([f"**{_speaker(node)}**", *_turn(node)]))
        return
    markdown = [f"**{_speaker(node)}**"]
    for part in _turn(node):
        for block in split_fences(part):
            magic = _MAGIC.get(block.language)
            if block.code and (magic or block.language in _PYTHON):
                if markdown:
                    yield _markdown("\n\n".join(markdown))
                markdown = []
                yield _code(f"{magic}\n{block.text}" if magic else block.text)
            else:
                markdown.append(fenced(block.text, block.language) if block.code else block.text)
    if markdown:
        yield _markdown("\n\n".join(markdown))
