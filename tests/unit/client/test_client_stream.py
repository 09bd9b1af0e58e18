"""Streams over a real socket: what is sent, how a stream ends, and how it is stopped."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hub.client import ChatStream, HubClient, Message, errors
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk

PROMPT: list[Message] = [{"role": "user", "content": "Say hi."}]

_SCRAPS = [
    *(b"data: ", b"\n", b"\r\n\r\n", b"[DONE]", b"event: error\n", b": x\n", b"\xff", b'{"choices": [', b"]}", b"null"),
    *(
        b'{"choices":[{"delta":{"content":"a"}}]}',
        b'{"error": {}}',
        b'{"usage": {"cost": "x"}}',
        b"1e999",
        b'{"error": 5}',
    ),
    b'{"choices":[{"delta":{},"finish_reason":"stop"}]}',
]


def mocked(answer: Callable[[httpx.Request], httpx.Response]) -> HubClient:
    return HubClient("http://hub.test/v1", "sk-secret-of-the-test", transport=httpx.MockTransport(answer))


def test_only_what_is_set_is_sent(client: HubClient, hub: ScriptedHub) -> None:
    list(client.stream_chat("scripted", PROMPT))
    list(client.stream_chat("scripted", PROMPT, temperature=0, max_tokens=5, stop=["x"], seed=1, top_p=0.5))
    bare, full = hub.requests
    always = {"model": "scripted", "messages": PROMPT, "stream": True, "stream_options": {"include_usage": True}}
    assert bare == always
    assert full == {**always, "temperature": 0, "max_tokens": 5, "stop": ["x"], "seed": 1, "top_p": 0.5}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_nothing_is_retried(status: int) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        return httpx.Response(status, json={"error": {"message": "no"}})

    with pytest.raises(errors.HubError):
        list(mocked(answer).stream_chat("m", PROMPT))
    assert calls == ["/v1/chat/completions"]


def test_a_lost_connection_cuts_the_answer(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("Once "), chunk("upon")], ending="lost")
    with pytest.raises(errors.AnswerCut, match="connection") as caught:
        list(client.stream_chat("scripted", PROMPT))
    assert caught.value.partial == "Once upon"


def test_a_connection_lost_after_the_end_mark_does_no_harm(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("All."), chunk(finish_reason="stop")], ending="lost")
    stream = client.stream_chat("scripted", PROMPT)
    assert [delta.text for delta in stream] == ["All."]
    assert stream.finish_reason == "stop"


def test_silence_in_the_middle_cuts_the_answer(hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("Once")], ending="silent")
    with pytest.raises(errors.AnswerCut, match="silent"):
        list(HubClient(hub.url, "sk-x1234", timeout=0.3).stream_chat("scripted", PROMPT))


def test_silence_before_the_answer_is_an_unreachable_hub(hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([], silence_before=30)
    with pytest.raises(errors.HubUnreachable, match="in time"):
        list(HubClient(hub.url, "sk-x1234", timeout=0.3).stream_chat("scripted", PROMPT))


def test_an_error_before_any_text_is_named_for_what_it_is(client: HubClient, hub: ScriptedHub) -> None:
    event = {"error": {"message": "Budget has been exceeded!", "type": "budget_exceeded", "code": "422"}}
    hub.reply = lambda body: Reply([f"data: {json.dumps(event)}"])
    with pytest.raises(errors.OverBudget):
        list(client.stream_chat("scripted", PROMPT))


@pytest.mark.parametrize(
    "line",
    [
        "data: {no json",
        "data: 5",
        'data: {"choices": 7}',
        'data: {"choices": [7]}',
        'data: {"choices": [{"index": 0}]}',
    ],
)
def test_a_malformed_stream_is_a_bad_answer(client: HubClient, hub: ScriptedHub, line: str) -> None:
    hub.reply = lambda body: Reply([line, "data: [DONE]"])
    with pytest.raises(errors.BadAnswer):
        list(client.stream_chat("scripted", PROMPT))


@settings(max_examples=50)
@given(st.lists(st.text(min_size=1), max_size=6), st.booleans(), st.data())
def test_any_cut_of_the_bytes_gives_the_same_deltas(pieces: list[str], crlf: bool, data: st.DataObject) -> None:
    end = "\r\n\r\n" if crlf else "\n\n"
    stream = "".join(f"{line}{end}: keep-alive{end}" for line in answer_lines(pieces)).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    headers = {"content-type": "text/event-stream"}
    client = mocked(lambda request: httpx.Response(200, headers=headers, content=iter(parts)))
    answer = client.stream_chat("m", PROMPT)
    assert [delta.text for delta in answer] == pieces
    assert answer.usage is not None
    assert answer.finish_reason == "stop"


@given(st.binary(max_size=300) | st.lists(st.sampled_from(_SCRAPS), max_size=12).map(b"".join))
def test_whatever_comes_ends_in_an_answer_or_an_error_of_the_client(stream: bytes) -> None:
    headers = {"content-type": "text/event-stream"}
    client = mocked(lambda request: httpx.Response(200, headers=headers, content=stream))
    answer = client.stream_chat("m", PROMPT)
    with contextlib.suppress(errors.AnswerCut, errors.BadAnswer, errors.RuntimeUnavailable):
        list(answer)
        assert answer.finish_reason


@pytest.mark.parametrize(
    "lines",
    [
        ["event: error\ndata: the model crashed"],
        ['event: error\ndata: {"message": "the model crashed"}'],
        ['data: {"error": "the model crashed"}'],
        ['data: {"error": {"message": "the model crashed", "code": 500}}'],
    ],
)
def test_an_error_in_the_middle_cuts_the_answer(client: HubClient, hub: ScriptedHub, lines: list[str]) -> None:
    hub.reply = lambda body: Reply([chunk("Once "), *lines])
    with pytest.raises(errors.AnswerCut) as caught:
        list(client.stream_chat("scripted", PROMPT))
    assert caught.value.partial == "Once "
    assert caught.value.detail == "the model crashed"
    assert caught.value.retry


def test_an_event_without_end_is_a_bad_answer(client: HubClient) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    headers = {"content-type": "text/event-stream"}
    with pytest.raises(errors.BadAnswer, match="malformed") as caught:
        list(mocked(lambda request: httpx.Response(200, headers=headers, content=endless())).stream_chat("m", PROMPT))
    assert "longer than" in caught.value.detail


def test_a_hub_that_hangs_up_before_the_answer_is_no_absent_hub(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([": nothing yet"], ending="lost")
    with pytest.raises(errors.HubUnreachable, match="before the answer began") as caught:
        list(client.stream_chat("scripted", PROMPT))
    assert caught.value.retry


def test_two_answers_of_one_client_stream_at_the_same_time(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk(body["messages"][0]["content"])], ending="silent")
    streams = [client.stream_chat("scripted", [{"role": "user", "content": text}]) for text in ("one", "two")]
    threads = [collect(stream)[0] for stream in streams]
    wait_for(lambda: [stream.text for stream in streams] == ["one", "two"])
    streams[0].close()
    threads[0].join(2)
    assert not threads[0].is_alive()
    assert threads[1].is_alive(), "closing one answer ended the other"
    streams[1].close()
    threads[1].join(2)


def test_half_a_surrogate_pair_of_a_prompt_can_be_sent(client: HubClient, hub: ScriptedHub) -> None:
    list(client.stream_chat("scripted", [{"role": "user", "content": "a\ud83d"}]))
    assert hub.requests[0]["messages"][0]["content"] == "a?"


def test_a_web_page_is_a_bad_answer() -> None:
    page = httpx.Response(200, headers={"content-type": "text/html"}, text="<html>Log in")
    with pytest.raises(errors.BadAnswer, match="text/html"):
        list(mocked(lambda request: page).stream_chat("m", PROMPT))


def test_half_a_surrogate_pair_becomes_text_that_can_be_encoded(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply(answer_lines(["a\ud83d", "b"]))
    assert "".join(delta.text for delta in client.stream_chat("scripted", PROMPT)).encode() == b"a?b"


def collect(stream: ChatStream) -> tuple[threading.Thread, list[str]]:
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.extend(delta.text for delta in stream))
    thread.start()
    return thread, got


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_close_from_another_thread_ends_the_request_at_once(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")] * 3, ending="silent")
    stream = client.stream_chat("scripted", PROMPT)
    thread, _ = collect(stream)
    wait_for(lambda: stream.text == "xxx")
    stream.close()
    assert hub.left.wait(2), "the hub still holds the connection"
    thread.join(2)
    assert not thread.is_alive()
    assert stream.closed
    assert stream.finish_reason is None
    stream.close()


def test_close_works_before_the_answer_begins(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([], silence_before=30)
    stream = client.stream_chat("scripted", PROMPT)
    thread, got = collect(stream)
    wait_for(lambda: bool(hub.requests))
    stream.close()
    assert hub.left.wait(2), "the hub still holds the connection"
    thread.join(2)
    assert not thread.is_alive()
    assert got == []


def test_a_stream_closed_before_its_start_sends_nothing(client: HubClient, hub: ScriptedHub) -> None:
    stream = client.stream_chat("scripted", PROMPT)
    stream.close()
    assert list(stream) == []
    assert hub.requests == []


def test_leaving_the_with_block_early_ends_the_request(client: HubClient, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")] * 3, ending="silent")
    with client.stream_chat("scripted", PROMPT) as stream:
        next(stream)
    assert stream.closed
    assert hub.left.wait(2)


def test_a_whole_answer_is_not_closed_by_a_late_close(client: HubClient) -> None:
    with client.stream_chat("scripted", PROMPT) as stream:
        assert [delta.text for delta in stream] == ["Hello"]
    assert not stream.closed
    assert stream.finish_reason == "stop"


def test_the_key_is_nowhere_to_be_read(caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-secret-of-the-test"
    leak = {"error": {"message": f"litellm.InternalServerError: the key {key} is bad", "code": "500"}}
    client = mocked(lambda request: httpx.Response(500, json=leak))
    with caplog.at_level(logging.DEBUG), pytest.raises(errors.HubError) as caught:
        list(client.stream_chat("m", PROMPT))
    seen = f"{client!r} {caught.value} {caught.value.detail} {caplog.text}"
    assert "sk-***" in seen
    assert key not in seen
