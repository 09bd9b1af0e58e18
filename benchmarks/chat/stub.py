"""A model server of known answers: OpenAI's streamed chat completions, and the hub's few other addresses.

The last prompt names the work, see `WORKS`; any other prompt gets a short answer that makes a page load what it loads
late. `/log` lists the requests with their times.

Usage: python -m benchmarks.chat.stub PORT
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from benchmarks.chat.answer import WARM, in_tokens, long_answer, reply

HOST = "127.0.0.1"
MODELS = ("stub-a", "stub-b")
# Word of the prompt: tokens of the answer, tokens a second (0: as fast as they are read).
WORKS = {"fast": (2_000, 0), "paced": (2_000, 100), "shortwork": (2_000, 500), "longwork": (20_000, 500)}
REPLY = re.compile(r"reply-(\d+)")


@dataclass
class Record:
    """One request for a completion.

    Attributes:
        work: Word of `WORKS`, "reply" or "warm".
        first: When the first token was written, seconds since 1970; 0 before.
        last: When the answer ended or the reader left; 0 before.
        sent: Tokens written.
        done: Whether the whole answer was written.
    """

    work: str
    first: float = 0.0
    last: float = 0.0
    sent: int = 0
    done: bool = False


LOG: list[Record] = []


def choose(prompt: str) -> tuple[str, list[str], int]:
    """Return the name of the work that a prompt asks for, its tokens and its pace."""
    for work, (tokens, pace) in WORKS.items():
        if work in prompt:
            return work, in_tokens(long_answer(tokens)), pace
    found = REPLY.search(prompt)
    if found:
        return "reply", in_tokens(reply(int(found[1]))), 0
    return "warm", in_tokens(WARM), 0


def last_prompt(messages: list[dict[str, Any]]) -> str:
    content = next(message["content"] for message in reversed(messages) if message["role"] == "user")
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def chunk(model: str, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}


async def completion(request: web.Request) -> web.StreamResponse:
    """Stream the answer that the last prompt asks for."""
    body = await request.json()
    work, tokens, pace = choose(last_prompt(body["messages"]))
    record = Record(work)
    LOG.append(record)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)

    async def write(data: object) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        await response.write(f"data: {text}\n\n".encode())

    started = time.perf_counter()
    try:
        for number, token in enumerate(tokens):
            if pace:
                await asyncio.sleep(max(0.0, started + number / pace - time.perf_counter()))
            role = {"role": "assistant"} if number == 0 else {}
            await write(chunk(body["model"], {**role, "content": token}))
            record.first = record.first or time.time()
            record.sent = number + 1
            record.last = time.time()
        await write(chunk(body["model"], {}, "stop"))
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 5, "completion_tokens": len(tokens), "total_tokens": 5 + len(tokens)}
            await write({**chunk(body["model"], {}), "choices": [], "usage": usage})
        await write("[DONE]")
        record.done = True
    finally:
        record.last = record.last if record.done else time.time()
    return response


async def models(_: web.Request) -> web.Response:
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "stub"} for name in MODELS]
    return web.json_response({"object": "list", "data": data})


async def model_info(_: web.Request) -> web.Response:
    info = {"max_input_tokens": 1_000_000, "input_cost_per_token": 1e-7, "output_cost_per_token": 2e-7}
    return web.json_response({"data": [{"model_group": name, **info} for name in MODELS]})


async def key_info(_: web.Request) -> web.Response:
    return web.json_response({"info": {"spend": 0.1, "max_budget": 10.0}})


async def alive(_: web.Request) -> web.Response:
    return web.json_response("I'm alive!")


async def log(_: web.Request) -> web.Response:
    return web.json_response([asdict(record) for record in LOG])


def main() -> None:
    """Serve until the process is ended."""
    app = web.Application(client_max_size=64 * 1024**2)
    app.add_routes(
        [
            web.post("/v1/chat/completions", completion),
            web.get("/v1/models", models),
            web.get("/model_group/info", model_info),
            web.get("/key/info", key_info),
            web.get("/health/liveliness", alive),
            web.get("/log", log),
        ]
    )
    web.run_app(app, host=HOST, port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
