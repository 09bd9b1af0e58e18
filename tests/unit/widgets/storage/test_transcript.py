"""Conversations as Markdown, notebook and JSON, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets.storage.code_blocks import closed, fenced, split_fences
from widgets.storage.document import State, parse
from widgets.storage.transcript import to_json, to_markdown, to_notebook

CODE = "Look:\n\n```python\nprint(1)\n```\n\nand\n\n```bash\nls\n```\n\n```json\n{}\n```\n\nDone."


def document(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"version": 1, "id": "c1", "title": "Numbers", "created": "2026-11-26T01:02:03.000Z", "updated": ""}
    current = nodes[-1]["id"] if nodes else None
    return {**head, "model": "m", "system_prompt": "", "nodes": list(nodes), "current": current, **more}


def prompt(node_id: str, parent: str | None, text: str, **more: Any) -> dict[str, Any]:
    return {"id": node_id, "parent": parent, "role": "user", "text": text, "created": "", "attachments": [], **more}


def answer(node_id: str, parent: str, text: str, **more: Any) -> dict[str, Any]:
    ends = {"state": "done", "reason": "", "remedy": "", "retry": False, "figures": {}, "calls": []}
    return (
        {"id": node_id, "parent": parent, "role": "assistant", "text": text, "created": "", "model": "smollm2"}
        | ends
        | more
    )


TALK = document(prompt("p1", None, "Count."), answer("a1", "p1", CODE), system_prompt="Be brief.")


def test_markdown_has_a_heading_for_each_turn() -> None:
    assert to_markdown(TALK) == (
        "# Numbers\n\nModel: smollm2. Begun 2026-11-26 01:02 UTC.\n\n## System prompt\n\nBe brief.\n\n"
        f"## You\n\nCount.\n\n## smollm2\n\n{CODE}\n"
    )


def test_only_the_branch_on_screen_is_exported() -> None:
    talk = document(prompt("p1", None, "One"), answer("a1", "p1", "first"), answer("a2", "p1", "second"))
    assert "second" in to_markdown(talk)
    assert "first" not in to_markdown(talk)
    assert "first" not in to_notebook(talk)
    assert "first" in to_json(talk)


def test_what_is_attached_called_and_cut_is_said() -> None:
    call = {"id": "1", "name": "add", "arguments": '{"a": 1}', "state": "done", "result": "``` 2", "round": 0, "at": 7}
    attached = [{"name": "df", "kind": "DataFrame", "text": "…", "tokens": 5}]
    text = to_markdown(
        document(
            prompt("p1", None, "Add.", attachments=attached),
            answer("a1", "p1", "Let me. Two.\n```python\nx", calls=[call], state="cut", reason="The hub was lost."),
        )
    )
    assert "Attached: `df` (DataFrame)\n\nAdd." in text
    assert 'Let me.\n\nTool call `add` (done):\n\n```json\n{"a": 1}\n```\n\n````text\n``` 2\n````\n\n Two.' in text
    assert "```python\nx\n```\n\n*The answer is not whole: The hub was lost.*" in text


def test_code_of_answers_becomes_code_cells_and_the_rest_markdown() -> None:
    notebook = nbformat.reads(to_notebook(TALK), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        ("markdown", "# Numbers\n\nModel: smollm2. Begun 2026-11-26 01:02 UTC."),
        ("markdown", "**System prompt**\n\nBe brief."),
        ("markdown", "**You**\n\nCount."),
        ("markdown", "**smollm2**\n\nLook:"),
        ("code", "print(1)"),
        ("markdown", "and"),
        ("code", "%%bash\nls"),
        ("markdown", "```json\n{}\n```\n\nDone."),
    ]
    assert to_notebook(TALK) == to_notebook(TALK)


def test_code_of_prompts_and_of_results_of_tools_does_not_become_cells() -> None:
    code = "```python\nevil()\n```"
    call = {"id": "1", "name": "f", "arguments": "{}", "state": "done", "result": code, "round": 0, "at": 0}
    talk = document(prompt("p1", None, code), answer("a1", "p1", "", calls=[call]))
    cells = nbformat.reads(to_notebook(talk), as_version=4).cells
    assert {cell.cell_type for cell in cells} == {"markdown"}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
CALLS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "name": TEXTS,
        "arguments": TEXTS,
        "state": st.sampled_from(["asking", "running", "done", "denied", "failed"]),
        "result": TEXTS,
        "round": st.integers(0, 5),
        "at": st.integers(0, 50),
    }
)
FIGURES = st.dictionaries(
    TEXTS, st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
)
ATTACHED = st.fixed_dictionaries({"name": TEXTS, "kind": TEXTS, "text": TEXTS, "tokens": st.integers(0, 10**6)})


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 6))):
        parent = draw(st.sampled_from([None, *(node["id"] for node in nodes)]))
        before = next((node for node in nodes if node["id"] == parent), None)
        text = draw(TEXTS | st.sampled_from([CODE, "```\nx", "~~~~py\ny\n~~~"]))
        if before is None or before["role"] == "assistant":
            nodes.append(prompt(f"n{number}", parent, text, attachments=draw(st.lists(ATTACHED, max_size=2))))
        else:
            more = {
                "state": draw(st.sampled_from(list(State))).value,
                "reason": draw(TEXTS),
                "retry": draw(st.booleans()),
            }
            calls = draw(st.lists(CALLS, max_size=2))
            nodes.append(answer(f"n{number}", str(parent), text, figures=draw(FIGURES), calls=calls, **more))
    talk = document(*nodes, title=draw(TEXTS), system_prompt=draw(TEXTS))
    return {**talk, "current": draw(st.sampled_from([None, *(node["id"] for node in nodes)]))}


@settings(max_examples=40)
@given(documents())
def test_json_there_and_back_is_the_same_conversation(talk: dict[str, Any]) -> None:
    assert msgspec.to_builtins(parse(to_json(talk))) == talk


@settings(max_examples=40)
@given(documents())
def test_any_conversation_becomes_markdown_and_a_valid_notebook(talk: dict[str, Any]) -> None:
    assert to_markdown(talk)
    nbformat.validate(nbformat.reads(to_notebook(talk), as_version=4))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", [("plain", False, "")]),
        ("```py\na\n```", [("a", True, "py")]),
        ("~~~ Python extra\na\n```\n~~~~", [("a\n```", True, "python")]),
        ("````\n```\na\n```\n````", [("```\na\n```", True, "")]),
        ("a\n\n```\nopen", [("a", False, ""), ("open", True, "")]),
        ("    ```\n    indented", [("    ```\n    indented", False, "")]),
        ("a ``` b", [("a ``` b", False, "")]),
        ("``` a`b", [("``` a`b", False, "")]),
    ],
)
def test_fences_are_found_as_commonmark_has_them(text: str, parts: list[tuple[str, bool, str]]) -> None:
    assert [(block.text, block.code, block.language) for block in split_fences(text)] == parts


@given(TEXTS | st.text("`~ a\n", max_size=30))
def test_a_closed_text_swallows_nothing_and_a_fence_holds_anything(text: str) -> None:
    assert split_fences(f"{closed(text)}\nafter")[-1].code is False
    if "\r" not in text:
        [block] = split_fences(fenced(text))
        assert (block.text, block.code, block.open_fence) == (text, True, "")
