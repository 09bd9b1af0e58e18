"""Streams over a real socket: what is sent, how a stream ends, and how it is stopped."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from litellm_hub import errors
from litellm_hub.client import ChatStream, HubClient, Message
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk

PROMPT: list[Message] = [{"role": "user", "content": "Say hi."}]


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
