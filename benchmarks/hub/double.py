"""A runtime of fixed latency: OpenAI's chat completions, plain and streamed, in slots.

Each piece of an answer is the time when it was written (`time.perf_counter_ns`, the same clock in all processes of a
machine), so that a reader knows how long it was under way. An answer has as many pieces as `max_tokens` says.

Usage: python -m benchmarks.hub.double PORT [--latency-ms MS] [--interval-ms MS] [--slots N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from dataclasses import dataclass

from aiohttp import web

HOST = "127.0.0.1"
MODEL = "double"
PROMPT_TOKENS = 300
PIECES = 64


@dataclass(frozen=True)
class Runtime:
    """How it answers.

    Attributes:
        latency_s: Seconds from the start of a slot's work to the first piece, or to a plain answer.
        interval_s: Seconds between two pieces of a stream.
        slots: Answers at a time; further requests wait.
    """

    latency_s: float
    interval_s: float
    slots: asyncio.Semaphore

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.json()
        pieces = int(body.get("max_tokens") or PIECES)
        usage = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": pieces,
            "total_tokens": PROMPT_TOKENS + pieces,
        }
        async with self.slots:
            begin = time.perf_counter()
            await asyncio.sleep(self.latency_s)
            if not body.get("stream"):
                return web.json_response(_answer(usage, pieces))
            with_usage = (body.get("stream_options") or {}).get("include_usage")
            return await self._stream(request, begin, pieces, usage if with_usage else None)

    async def _stream(
        self, request: web.Request, begin: float, pieces: int, usage: dict[str, int] | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        identity = f"chatcmpl-{uuid.uuid4().hex}".encode()
        before, after = _event({"delta": {"role": "assistant", "content": "@"}}).replace(b"ID", identity).split(b"@")
        for number in range(pieces):
            pause = begin + self.latency_s + number * self.interval_s - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            await response.write(b"%b%d %b" % (before, time.perf_counter_ns(), after))
        end = _event({"delta": {}, "finish_reason": "stop"})
        if usage:
            end += _event(None, usage)
        await response.write(end.replace(b"ID", identity) + b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _event(choice: dict[str, object] | None, usage: dict[str, int] | None = None) -> bytes:
    choices = [{"index": 0, "finish_reason": None, **choice}] if choice is not None else []
    chunk = {"id": "ID", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices}
    return f"data: {json.dumps({**chunk, 'usage': usage} if usage else chunk)}\n\n".encode()


def _answer(usage: dict[str, int], pieces: int) -> dict[str, object]:
    message = {"role": "assistant", "content": f"{time.perf_counter_ns()} " * pieces}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


async def models(_: web.Request) -> web.Response:
    """List the only model."""
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "double"}]})


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A runtime of fixed latency.")
    parser.add_argument("port", type=int)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--interval-ms", type=float, default=20)
    parser.add_argument("--slots", type=int, default=256)
    given = parser.parse_args()
    runtime = Runtime(given.latency_ms / 1000, given.interval_ms / 1000, asyncio.Semaphore(given.slots))
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", runtime.completion), web.get("/v1/models", models)])
    web.run_app(app, host=HOST, port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
