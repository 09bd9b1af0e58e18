"""Tool calls out of the pieces that runtimes send."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_hub.client import HubClient, Message, ToolCall, errors
from tests.unit.client.scripted_hub import Reply, ScriptedHub, chunk

PROMPT: list[Message] = [{"role": "user", "content": "Add."}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


def piece(index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: Any = None) -> dict:
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    head = {key: value for key, value in {"index": index, "id": call_id}.items() if value is not None}
    return {**head, "type": "function", "function": function}


def answer(*chunks: list[dict[str, Any]], end: bool = True) -> Reply:
    events = [chunk(delta={"tool_calls": pieces}) for pieces in chunks]
    return Reply([*events, chunk(finish_reason="tool_calls"), "data: [DONE]"] if end else events)


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        (
            [[piece(0, "a", "add", "")], [piece(0, arguments='{"x"')], [piece(0, arguments=": 1}")]],
            [("a", "add", '{"x": 1}')],
        ),
        (
            [
                [piece(0, "a", "add", "{")],
                [piece(1, "b", "mul", "{")],
                [piece(0, arguments="}"), piece(1, arguments="}")],
            ],
            [("a", "add", "{}"), ("b", "mul", "{}")],
        ),
        # Ollama through LiteLLM: whole calls, each with another id and the same index.
        ([[piece(0, "a", "add", "{}")], [piece(0, "b", "add", "{}")]], [("a", "add", "{}"), ("b", "add", "{}")]),
        # The name and the id repeated in each piece.
        ([[piece(0, "a", "add", "{")], [piece(0, "a", "add", "}")]], [("a", "add", "{}")]),
        # Arguments that are an object already.
        ([[piece(0, "a", "add", {"x": 1})]], [("a", "add", '{"x": 1}')]),
        # No index.
        ([[piece(None, "a", "add", "{}"), piece(None, "b", "mul", "{}")]], [("a", "add", "{}"), ("b", "mul", "{}")]),
    ],
)
def test_pieces_become_calls(
    client: HubClient, hub: ScriptedHub, chunks: list[list[dict[str, Any]]], calls: list[tuple[str, str, str]]
) -> None:
    hub.reply = lambda body: answer(*chunks)
    stream = client.stream_chat("scripted", PROMPT, tools=[TOOL])
    assert list(stream) == []
    assert stream.tool_calls == tuple(ToolCall(*call) for call in calls)
    assert stream.finish_reason == "tool_calls"
    assert stream.time_to_first_token is not None


def test_calls_without_ids_get_some_of_their_own(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: answer([piece(None, name="add", arguments="{}"), piece(None, name="add", arguments="{}")])
    stream = client.stream_chat("scripted", PROMPT, tools=[TOOL])
    list(stream)
    assert len({call.id for call in stream.tool_calls} - {""}) == 2


def test_tools_calls_and_results_are_sent(client: HubClient, hub: ScriptedHub) -> None:
    call = ToolCall("a", "add", '{"x": 1}')
    conversation: list[Message] = [
        *PROMPT,
        {"role": "assistant", "content": "", "tool_calls": [call.as_dict()]},
        {"role": "tool", "tool_call_id": "a", "content": "2"},
    ]
    list(client.stream_chat("scripted", conversation, tools=[TOOL]))
    [sent] = hub.requests
    assert sent["messages"] == conversation
    assert sent["tools"] == [TOOL]
    list(client.stream_chat("scripted", PROMPT, tools=[]))
    assert "tools" not in hub.requests[-1]


def test_an_answer_cut_in_the_middle_of_a_call_is_cut(client: HubClient, hub: ScriptedHub) -> None:
    reply = answer([piece(0, "a", "add", '{"x"')], end=False)
    reply.ending = "lost"
    hub.reply = lambda body: reply
    with pytest.raises(errors.AnswerCut):
        list(client.stream_chat("scripted", PROMPT, tools=[TOOL]))


@pytest.mark.parametrize("bad", [5, [5], [{"index": 0, "function": 7}], [piece(0, "a", "add", 5)], [piece(0, "a")]])
def test_malformed_calls_are_a_bad_answer(client: HubClient, hub: ScriptedHub, bad: Any) -> None:
    hub.reply = lambda body: answer(bad)
    with pytest.raises(errors.BadAnswer):
        list(client.stream_chat("scripted", PROMPT, tools=[TOOL]))
