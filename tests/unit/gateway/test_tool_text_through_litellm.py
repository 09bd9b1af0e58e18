"""A call that a model wrote as text, from a runtime's answer to what LiteLLM makes of it."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from aiohttp import web

from litellm_hub.gateway.runtime import RuntimeTransport
from tests.unit.gateway.test_runtime import Runtime, running
from tests.unit.gateway.test_tool_text import CALL, ndjson, sse, tools

pytestmark = pytest.mark.anyio
INSIDE: dict[str, Any] = {"_skip_mcp_handler": True}  # which wants a package that only the proxy has


def plain(path: str, text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    if path == "/api/chat":
        counts = {"prompt_eval_count": 1, "eval_count": 1}
        return json.dumps({"model": "m", "message": message, "done": True, "done_reason": "stop", **counts}).encode()
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}).encode()


async def answered(monkeypatch: pytest.MonkeyPatch, provider: str, text: str, *, stream: bool) -> Any:
    """Ask through LiteLLM; return the answer's text, its calls and why it ended."""
    path = "/api/chat" if provider == "ollama_chat" else "/v1/chat/completions"

    async def chat(request: web.Request) -> web.StreamResponse:
        if not stream:
            return web.Response(body=plain(path, text), content_type="application/json")
        kind = "application/x-ndjson" if path == "/api/chat" else "text/event-stream"
        return web.Response(body=(ndjson if path == "/api/chat" else sse)(text[:9], text[9:]), content_type=kind)

    fake = Runtime()
    fake.chat = chat
    monkeypatch.setattr(litellm, "aclient_session", None)
    transport = RuntimeTransport()
    transport.install()
    async with running(fake) as url:
        call: dict[str, Any] = {"model": f"{provider}/m", "api_base": url + ("/v1" if provider == "openai" else "")}
        transport.give_client(call)
        messages = [{"role": "user", "content": "Weather?"}]
        offered = tools("get_weather")
        answer = await litellm.acompletion(
            **call, messages=messages, tools=offered, stream=stream, api_key="k", **INSIDE
        )
        if stream:
            answer = litellm.stream_chunk_builder([chunk async for chunk in answer])
    await transport.aclose()
    [choice] = answer.choices
    made = [(one.function.name, json.loads(one.function.arguments)) for one in choice.message.tool_calls or ()]
    assert all(one.id for one in choice.message.tool_calls or ())
    return choice.message.content, made, choice.finish_reason


@pytest.mark.parametrize("provider", ["openai", "ollama_chat"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_written_call_is_a_real_one(monkeypatch: pytest.MonkeyPatch, provider: str, stream: bool) -> None:
    content, made, reason = await answered(monkeypatch, provider, CALL, stream=stream)
    assert made == [("get_weather", {"city": "Oslo"})]
    assert (content or "", reason) == ("", "tool_calls")


@pytest.mark.parametrize("provider", ["openai", "ollama_chat"])
@pytest.mark.parametrize("stream", [True, False])
async def test_json_that_names_no_tool_stays(monkeypatch: pytest.MonkeyPatch, provider: str, stream: bool) -> None:
    said = '{"name": "Oslo", "arguments": {}}'
    assert await answered(monkeypatch, provider, said, stream=stream) == (said, [], "stop")
