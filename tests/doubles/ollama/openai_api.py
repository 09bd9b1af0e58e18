"""The interfaces of other houses under `/v1`, as Ollama offers them."""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from .api import Api
from .completion import Answer, chat_prompt
from .runners import LoadError, Runner, RunnerDiedError
from .store import Model
from .web import EVENTS, PLAIN_JSON, ApiError, Exchange, dumps


class OpenAi:
    """The functions behind the routes."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def routes(self) -> dict[tuple[str, str], Callable[[Exchange], None]]:
        """Method and path of each function."""
        return {
            ("GET", "/v1/models"): self.models,
            ("GET", "/v1/models/*"): self.model,
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.completions,
            ("POST", "/v1/responses"): self.responses,
            ("POST", "/v1/messages"): self.messages,
        }

    def models(self, exchange: Exchange) -> None:
        data = [_card(model, model.name.short) for model in self.api.store.models()]
        exchange.send_json({"object": "list", "data": data}, content_type=PLAIN_JSON)

    def model(self, exchange: Exchange) -> None:
        exchange.send_json(_card(self.api.find(exchange.argument), exchange.argument), content_type=PLAIN_JSON)

    def chat(self, exchange: Exchange) -> None:
        request = exchange.body("openai.ChatCompletionRequest", model=str, messages=list)
        messages = request.get("messages") or []
        if not messages:
            raise ApiError(400, "[] is too short - 'messages'")
        answer = Answer()
        with self._loaded(request, _options(request, request.get("max_tokens"))) as (runner, options):
            form = _form(request.get("response_format"))
            pieces = self._pieces(exchange, runner, chat_prompt(_texts(messages)), options, form, answer)
            head = _head(request["model"], "chat.completion", "chatcmpl-")
            with contextlib.closing(pieces):
                if request.get("stream"):
                    usage = bool((request.get("stream_options") or {}).get("include_usage"))
                    exchange.stream(EVENTS, _chunks(pieces, answer, head, usage))
                    return
                message = {"role": "assistant", "content": _whole(pieces)}
            choice = {"index": 0, "message": message, "finish_reason": answer.reason}
            exchange.send_json({**head, "choices": [choice], "usage": _usage(answer)}, content_type=PLAIN_JSON)

    def completions(self, exchange: Exchange) -> None:
        request = exchange.body("openai.CompletionRequest", model=str, prompt=str)
        _refuse_stream(request)
        text, answer = self._plain(
            exchange, request, _options(request, request.get("max_tokens")), request.get("prompt") or ""
        )
        choice = {"text": text, "index": 0, "finish_reason": answer.reason}
        head = _head(request["model"], "text_completion", "cmpl-")
        exchange.send_json({**head, "choices": [choice], "usage": _usage(answer)}, content_type=PLAIN_JSON)

    def messages(self, exchange: Exchange) -> None:
        request = exchange.body("anthropic.MessagesRequest", model=str, messages=list)
        _refuse_stream(request)
        prompt = chat_prompt(_texts(request.get("messages") or []))
        text, answer = self._plain(exchange, request, _options(request, request.get("max_tokens")), prompt, ready=True)
        body = {
            "id": "msg_" + secrets.token_hex(12),
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "content": [{"type": "text", "text": text}],
            "stop_reason": "max_tokens" if answer.reason == "length" else "end_turn",
            "usage": {"input_tokens": answer.prompt_tokens, "output_tokens": answer.tokens},
        }
        exchange.send_json(body, content_type=PLAIN_JSON)

    def responses(self, exchange: Exchange) -> None:
        request = exchange.body("openai.ResponsesRequest", model=str)
        _refuse_stream(request)
        limit = request.get("max_output_tokens")
        text, answer = self._plain(exchange, request, _options(request, limit), str(request.get("input") or ""))
        exchange.send_json(_response(request, text, answer), content_type=PLAIN_JSON)

    @contextlib.contextmanager
    def _loaded(self, request: dict[str, Any], options: dict[str, Any]) -> Iterator[tuple[Runner, dict[str, Any]]]:
        name = request.get("model") or ""
        model, merged, keep_alive = self.api.prepare(name, {"options": options, "tools": request.get("tools")})
        with self.api.loaded(name, model, merged, keep_alive) as runner:
            yield runner, merged

    def _pieces(
        self, exchange: Exchange, runner: Runner, prompt: str, options: dict[str, Any], form: Any, answer: Answer
    ) -> Generator[str, None, None]:
        tokens = self.api.engine.read(runner, prompt, answer)
        return self.api.engine.generate(runner, tokens, options, form, exchange.gone, answer)

    def _plain(
        self, exchange: Exchange, request: dict[str, Any], options: dict[str, Any], prompt: str, ready: bool = False
    ) -> tuple[str, Answer]:
        answer = Answer()
        with self._loaded(request, options) as (runner, merged):
            prompt = prompt if ready else chat_prompt([{"role": "user", "content": prompt}])
            return _whole(self._pieces(exchange, runner, prompt, merged, None, answer)), answer


def _card(model: Model, name: str) -> dict[str, Any]:
    created = int(model.modified.timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": model.name.namespace}


def _head(model: str, kind: str, prefix: str) -> dict[str, Any]:
    number = random.randint(0, 999)
    return {
        "id": f"{prefix}{number}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": "fp_ollama",
    }


def _options(request: dict[str, Any], limit: Any) -> dict[str, Any]:
    options = {
        key: request[key]
        for key in ("seed", "stop", "presence_penalty", "frequency_penalty")
        if request.get(key) is not None
    }
    for key in ("temperature", "top_p"):
        options[key] = 1.0 if request.get(key) is None else request[key]
    return options if limit is None else {**options, "num_predict": limit}


def _form(response_format: Any) -> Any:
    kind = (response_format or {}).get("type")
    if kind == "json_schema":
        return response_format["json_schema"]["schema"]
    return "json" if kind == "json_object" else None


def _texts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose content may be a list of parts, as plain text."""
    flat = []
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        flat.append({"role": message.get("role", "user"), "content": content})
    return flat


def _whole(pieces: Iterator[str]) -> str:
    try:
        return "".join(pieces)
    except (RunnerDiedError, LoadError) as error:
        raise ApiError(500, str(error)) from error


def _usage(answer: Answer) -> dict[str, int]:
    total = answer.prompt_tokens + answer.tokens
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.tokens, "total_tokens": total}


def _chunks(pieces: Iterator[str], answer: Answer, head: dict[str, Any], usage: bool) -> Iterator[str]:
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
        return f"data: {dumps({**head, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': reason}]})}\n\n"

    first: dict[str, Any] = {"role": "assistant"}
    try:
        for piece in pieces:
            yield chunk({**first, "content": piece})
            first = {}
    except (RunnerDiedError, LoadError):
        # Ollama's own error line, read as an answer: an empty chunk, and neither a reason nor `[DONE]`.
        head["model"] = ""
        yield chunk({})
        return
    yield chunk({}, answer.reason)
    if usage:
        yield f"data: {dumps({**head, 'choices': [], 'usage': _usage(answer)})}\n\n"
    yield "data: [DONE]\n\n"


def _refuse_stream(request: dict[str, Any]) -> None:
    if request.get("stream"):
        raise ApiError(400, "the double does not stream on this path")


def _response(request: dict[str, Any], text: str, answer: Answer) -> dict[str, Any]:
    now = int(time.time())
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "status": "completed", "role": "assistant", "content": [content]}
    return {
        "id": f"resp_{secrets.randbelow(10**6)}",
        "object": "response",
        "created_at": now,
        "completed_at": now,
        "status": "completed",
        "incomplete_details": None,
        "model": request["model"],
        "previous_response_id": None,
        "instructions": None,
        "output": [{"id": f"msg_{secrets.randbelow(10**6)}", **message}],
        "error": None,
        "tools": [],
        "tool_choice": "auto",
        "truncation": "disabled",
        "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}},
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "temperature": 1,
        "reasoning": None,
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "output_tokens": answer.tokens,
            "total_tokens": answer.prompt_tokens + answer.tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": None,
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }
