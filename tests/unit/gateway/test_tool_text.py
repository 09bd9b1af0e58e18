"""Tool calls that a model wrote as text."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.gateway.tool_text import Recovery, calls_in, may_become, recovery_for

NAMES = ("get_weather", "add", "get")
CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
CHAT, OLLAMA = "/v1/chat/completions", "/api/chat"


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]


def recovery(path: str = CHAT, **request: Any) -> Recovery | None:
    return recovery_for(path, json.dumps({"messages": [], "tools": tools(*NAMES), **request}).encode())


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```\n",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tools>\n{CALL}\n</tools>",
        f"[{CALL}]",
        '{\n  "name": "get_weather",\n  "parameters": {\n    "city": "Oslo"\n  }\n}',
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
    ],
)
def test_a_call_is_seen_in_each_form(text: str) -> None:
    [call] = calls_in(text, NAMES) or []
    assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo"})
    assert all(may_become(text[:end], NAMES) for end in range(len(text) + 1))


@pytest.mark.parametrize("between", ["\n", ", ", "\n</tool_call>\n<tool_call>\n", "\n```\n\n```json\n"])
def test_several_calls_are_several(between: str) -> None:
    text = CALL + between + '{"name": "add", "arguments": {"a": 1}}'
    assert [call.name for call in calls_in(text, NAMES) or []] == ["get_weather", "add"]
    assert may_become(text, NAMES)


@pytest.mark.parametrize(
    ("text", "certain_after"),
    [
        ("Hello there", 1),
        ('{"city": "Oslo"}', 3),
        ('{"name": "Oslo", "arguments": {}}', 11),
        ('{"name": "address"}', 14),
        ("```python\nprint(1)\n```", 11),
        ("```sql\nSELECT 1", 4),
        ('```json\n{"a": 1}\n```', 11),
        ("[a link](https://a.example)", 2),
        ("<b>bold</b>", 2),
        (f"{CALL} is how one would call it.", len(CALL) + 2),
        ("`x`", 2),
    ],
)
def test_an_answer_is_held_only_while_it_may_become_a_call(text: str, certain_after: int) -> None:
    assert calls_in(text, NAMES) is None
    assert [may_become(text[:end], NAMES) for end in (certain_after - 1, certain_after, len(text))] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "text", ["", "  ", CALL[:-1], '{"name": "add", "arguments": [1]}', '{"name": "add", "arguments": "x"}']
)
def test_what_is_no_whole_call_is_none(text: str) -> None:
    assert calls_in(text, NAMES) is None


@given(st.text(max_size=60))
def test_no_text_is_a_call_that_may_not_become_one(text: str) -> None:
    assert calls_in(text, NAMES) is None or may_become(text, NAMES)


# On the wire ----------------------------------------------------------------------------------------------------------


def sse(*pieces: str, reason: str = "stop") -> bytes:
    def event(delta: dict[str, Any], reason: str | None = None) -> str:
        return json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    usage = json.dumps({"id": "c", "choices": [], "usage": {"completion_tokens": 3}})
    events = [event({"role": "assistant", "content": None}), *(event({"content": piece}) for piece in pieces)]
    return "".join(f"data: {one}\n\n" for one in [*events, event({}, reason), usage, "[DONE]"]).encode()


def ndjson(*pieces: str, reason: str = "stop") -> bytes:
    lines = [{"model": "m", "message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
    lines.append({"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def passed(found: Recovery | None, chunks: Iterable[bytes]) -> list[bytes]:
    """What comes out after each chunk, and in the end."""
    assert found is not None
    out: list[bytes] = []

    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            out.append(b"")
            yield chunk
        out.append(b"")

    async def run() -> None:
        async for piece in found.streamed(source()):
            out[-1] += piece

    asyncio.run(run())
    return out


def events(stream: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix(b"data: ") for line in stream.splitlines() if line.strip()]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@given(st.lists(st.integers(1, len(CALL))), st.lists(st.integers(0, 900), max_size=8))
def test_a_streamed_call_becomes_one_however_it_is_cut(marks: list[int], cuts: list[int]) -> None:
    ends = [0, *sorted(set(marks)), len(CALL)]
    pieces = [CALL[start:end] for start, end in itertools.pairwise(ends)]
    for path, whole in ((CHAT, sse(*pieces)), (OLLAMA, ndjson(*pieces))):
        places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
        chunks = [whole[start:end] for start, end in itertools.pairwise(places)]
        said = events(b"".join(passed(recovery(path), chunks)))
        if path == CHAT:
            [made] = [
                choice["delta"]["tool_calls"]
                for event in said
                for choice in event["choices"]
                if "tool_calls" in choice["delta"]
            ]
            assert made[0]["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
            assert [choice["finish_reason"] for event in said for choice in event["choices"]][-1] == "tool_calls"
            assert not [event for event in said for choice in event["choices"] if choice["delta"].get("content")]
            assert said[-1]["usage"] == {"completion_tokens": 3}
        else:
            [made] = [event["message"]["tool_calls"] for event in said if "tool_calls" in event["message"]]
            assert made[0]["function"] == {"name": "get_weather", "arguments": {"city": "Oslo"}}
            assert not [event for event in said if event["message"]["content"]]
            assert said[-1]["done"]


@pytest.mark.parametrize("path", [CHAT, OLLAMA])
@pytest.mark.parametrize(
    ("pieces", "held"),
    [
        (["Hel", "lo"], []),
        (["{", '"a"', ": 1}"], [0]),
        (["```", "py", "thon\n", "x", " = 1"], [0, 1, 2]),
        ([CALL[:30], CALL[30:-1]], [0, 1]),  # not whole
    ],
)
def test_any_other_stream_passes_byte_for_byte_and_without_delay(path: str, pieces: list[str], held: list[int]) -> None:
    made = sse if path == CHAT else ndjson
    whole = made(*pieces)
    chunks = whole.splitlines(keepends=True)
    out = passed(recovery(path), chunks)
    assert b"".join(out) == whole
    spoken = [
        number for number, chunk in enumerate(chunks) if any(json.dumps(piece).encode() in chunk for piece in pieces)
    ]
    assert [place for place, number in enumerate(spoken) if not out[number]] == held


def test_an_answer_that_reached_its_limit_stays_what_it_is() -> None:
    whole = sse(CALL, reason="length")
    assert b"".join(passed(recovery(), [whole])) == whole


def test_a_plain_answer_becomes_a_call_too() -> None:
    def answer(text: str, reason: str = "stop") -> bytes:
        message = {"role": "assistant", "content": text}
        return json.dumps(
            {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": {}}
        ).encode()

    found = recovery()
    assert found is not None
    [choice] = json.loads(found.plain(answer(CALL)))["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    for other in (answer("Hello"), answer(CALL, "length"), answer('{"a": 1}'), b"no JSON", b"[1]"):
        assert found.plain(other) is other


def test_only_where_tools_are_offered() -> None:
    assert recovery() is not None
    assert recovery(tool_choice="none") is None
    assert recovery(tools=[]) is None
    assert recovery(tools=[{"type": "function"}, {"function": {"name": 5}}]) is None
    assert recovery_for(CHAT, b'{"messages": []}') is None
    assert recovery_for(CHAT, b'"tools" in no JSON') is None
