"""What a real gateway lets in: bounds before the key, what steers it, wrong bodies, wrong keys, other origins."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import sync_playwright

from litellm_hub.gateway.wrong_keys import MOST_A_MINUTE
from tests.support.gateway import Gateway
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = pytest.mark.lab
MESSAGE = {"role": "user", "content": "hi"}
CALLS: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [MESSAGE]},
    "/completions": {"prompt": "hi"},
    "/responses": {"input": "hi"},
    "/messages": {"messages": [MESSAGE], "max_tokens": 16},
    "/embeddings": {"input": "hi"},
}
LONG = secrets.token_hex(2_000)
# What stopped the accounting of everybody, made it free or ended in a bare 500, and the field that is named instead.
REFUSED: dict[str, dict[str, Any]] = {
    "litellm_session_id": {"litellm_session_id": LONG},
    "litellm_trace_id": {"litellm_trace_id": "a\0b"},
    "metadata.session_id": {"metadata": {"session_id": LONG}},
    "metadata.tags": {"metadata": {"tags": [f"t{number}" for number in range(20_000)]}},
    "tags": {"tags": ["x" * 1_000_000]},
    "body": {"metadata": json.loads("[" * 900 + "]" * 900)},
    "model": {"model": ",".join(["scripted"] * 20)},
    "custom_llm_provider": {"custom_llm_provider": "huggingface"},
    "fastest_response": {"fastest_response": True},
    "api_base": {"api_base": "http://127.0.0.1:9"},
    "mock_response": {"mock_response": "free"},
    "metadata.user_api_key_user_id": {"metadata": {"user_api_key_user_id": "another"}},
}
WRONG_BODIES = [
    b"[1,2]",
    b'"text"',
    b"5",
    b"null",
    b"",
    b"{",
    b'{"model":"\xff"}',
    b'{"model":NaN}',
    b'{"model":"scripted"}',
]
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(scripted_gateway: tuple[Gateway, ScriptedHub]) -> Iterator[Ask]:
    gateway, _ = scripted_gateway
    with httpx.Client(base_url=gateway.url, timeout=60) as client:

        def posted(path: str, body: object, key: str = gateway.key, **headers: str) -> httpx.Response:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers
            return client.post(path, content=content, headers=sent)

        yield posted


def answers(ask: Ask) -> bool:
    body = {"model": "scripted", "stream": True, "messages": [MESSAGE], "metadata": {"tags": ["entry"]}}
    answer = ask("/chat/completions", body)
    return answer.status_code == 200 and answer.text.rstrip().endswith("[DONE]")


@pytest.mark.parametrize("path", CALLS)
def test_what_no_request_may_bring_is_refused_by_name_before_the_key(ask: Ask, path: str) -> None:
    for field, extra in REFUSED.items():
        answer = ask(
            path, {"model": "scripted", **CALLS[path], **extra}, key="sk-nobody", **{"Content-Type": "text/plain"}
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, field), answer.text
        assert error["type"] == "invalid_request_error"
    for name in ("x-litellm-session-id", "x-litellm-timeout"):
        answer = ask(path, {"model": "scripted", **CALLS[path]}, **{name: LONG[:300]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize("path", CALLS)
def test_a_wrong_body_is_refused_in_words(ask: Ask, path: str) -> None:
    for body in WRONG_BODIES:
        answer = ask(path, body)
        assert answer.status_code == 400, (body, answer.text)
        assert answer.json()["error"]["message"]


def test_several_answers_to_one_request_are_refused(ask: Ask) -> None:
    for path, extra in (
        ("/chat/completions", {"n": 50}),
        ("/completions", {"best_of": 2}),
        ("/completions", {"prompt": ["a", "b"]}),
        ("/responses", {"background": True}),
    ):
        answer = ask(path, {"model": "scripted", **CALLS[path], **extra})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(extra)))


def test_ways_past_the_accounting_are_closed(scripted_gateway: tuple[Gateway, ScriptedHub], ask: Ask) -> None:
    gateway, _ = scripted_gateway
    root = gateway.url.removesuffix("/v1")
    body = {"model": "scripted", "messages": [MESSAGE]}
    for path in (
        "openai/v1/chat/completions",
        "openai_passthrough/x",
        "anthropic/v1/messages",
        "vertex_ai/v1/x",
        "vllm/x",
    ):
        assert ask(f"{root}/{path}", body).status_code == 404
    assert ask(f"{root}/engines/scripted/chat/completions", body).status_code == 404
    key = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MTIzNDU2Nzg5MDEyMzQ1Ng==",
    }
    for path in ("realtime", "responses"):
        assert httpx.get(f"{gateway.url}/{path}?model=scripted", headers=key).status_code == 403


def test_a_client_that_leaves_in_mid_answer_is_seen_by_the_runtime(
    scripted_gateway: tuple[Gateway, ScriptedHub],
) -> None:
    gateway, model = scripted_gateway
    model.left.clear()
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "slow 600 0.1"}]}
    headers = {"Authorization": f"Bearer {gateway.key}"}
    with httpx.stream("POST", f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=60) as answer:
        next(answer.iter_lines())
    assert model.left.wait(20)


def test_a_page_of_another_origin_gets_no_answer(scripted_gateway: tuple[Gateway, ScriptedHub]) -> None:
    gateway, model = scripted_gateway
    elsewhere = model.url.removesuffix("/v1")
    assert urlsplit(elsewhere).port != urlsplit(gateway.url).port
    fetch = """([url, options]) => fetch(url, options).then(answer => answer.text(), error => error.name)"""
    body = json.dumps({"model": "scripted", **CALLS["/chat/completions"]})
    key = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(f"{elsewhere}/")
        url = f"{gateway.url}/chat/completions"
        asked = len(model.requests)
        for headers in (key, {"Content-Type": "text/plain"}):
            assert page.evaluate(fetch, [url, {"method": "POST", "headers": headers, "body": body}]) == "TypeError"
        assert len(model.requests) == asked
        chromium.close()
    for origin in ("http://evil.example", "null"):
        asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in httpx.options(url, headers=asking).headers
        assert "access-control-allow-origin" not in httpx.post(url, json={}, headers={"Origin": origin}).headers


def test_readiness_has_room_for_the_labs_own_fields(scripted_gateway: tuple[Gateway, ScriptedHub]) -> None:
    gateway, _ = scripted_gateway
    answer = httpx.get(f"{gateway.url.removesuffix('/v1')}/health/readiness")
    assert answer.status_code == 200
    assert isinstance(answer.json()["lab"], dict)


def test_many_wrong_keys_are_answered_shortly_and_a_right_one_as_ever(ask: Ask) -> None:
    body = {"model": "scripted", **CALLS["/chat/completions"]}
    statuses: list[int] = []

    def guess() -> None:
        statuses.extend(ask("/chat/completions", body, key=f"sk-{secrets.token_hex(8)}").status_code for _ in range(20))

    guessers = [threading.Thread(target=guess) for _ in range(4)]
    for guesser in guessers:
        guesser.start()
    while any(guesser.is_alive() for guesser in guessers):
        assert answers(ask)
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 2 * MOST_A_MINUTE  # a new minute may begin meanwhile
    assert answers(ask)
