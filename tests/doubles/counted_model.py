"""A runtime that answers on every path at once and counts: for the gateway's accounting, which no real model can test.

It serves `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings`, plain and streamed; the gateway makes its
other paths of the first. An answer has `WORDS` words unless the prompt orders otherwise, each a token; a prompt has
`PROMPT_TOKENS` tokens. Orders, anywhere in the prompt: `id=TEXT` (the answer's id; `id=` gives an empty one),
`words=NUMBER`, `pause=SECONDS` before each word.

Run alone: python -m tests.doubles.counted_model PORT
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "counted"
WORDS = 5
PROMPT_TOKENS = 7

_numbers = itertools.count(1)


@dataclass
class CountedModel:
    """Address of the API, which ends in `/v1`, what was asked of it, and how many it worked on at the same time.

    Attributes:
        url: The address.
        begun: How many answers were begun on each path.
        at_work: Answers of completions that are being made.
        most: The most that there were.
    """

    url: str = ""
    begun: dict[str, int] = field(default_factory=dict)
    at_work: int = 0
    most: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the block as work on an answer."""
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        try:
            yield
        finally:
            with self._lock:
                self.at_work -= 1


@dataclass(frozen=True)
class Order:
    """What a prompt orders."""

    id: str
    words: int
    pause: float

    @classmethod
    def of(cls, body: dict[str, Any]) -> Order:
        text = json.dumps([body.get(name) for name in ("messages", "prompt", "input", "instructions")])
        found = dict(re.findall(r"\b(id|words|pause)=([^\s\"\\]*)", text))
        words = int(found.get("words") or WORDS)
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or body.get("max_output_tokens") or words
        return cls(found.get("id", f"answer-{next(_numbers)}"), min(words, limit), float(found.get("pause") or 0))

    @property
    def pieces(self) -> list[str]:
        return [f"word{number} " for number in range(self.words)]

    @property
    def usage(self) -> dict[str, int]:
        total = PROMPT_TOKENS + self.words
        return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": self.words, "total_tokens": total}


def chat(order: Order) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plain answer of a chat request, and the events of its stream."""
    head = {"id": order.id, "created": 1, "model": NAME}
    message = {"role": "assistant", "content": "".join(order.pieces)}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": order.usage}

    def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**head, "object": "chat.completion.chunk", "choices": [choice]}

    last = {**head, "object": "chat.completion.chunk", "choices": [], "usage": order.usage}
    stream = [event({"content": piece}) for piece in order.pieces]
    return {**head, "object": "chat.completion", **whole}, [*stream, event({}, "stop"), last]


def text(order: Order) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same for a text completion."""
    head = {"id": order.id, "created": 1, "model": NAME, "object": "text_completion"}

    def event(piece: str, reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "text": piece, "finish_reason": reason, "logprobs": None}]}

    whole = {**event("".join(order.pieces), "stop"), "usage": order.usage}
    return whole, [*map(event, order.pieces), event("", "stop"), {**head, "choices": [], "usage": order.usage}]


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """Vectors of three numbers, one for each input."""
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = [{"object": "embedding", "index": index, "embedding": [0.0, 0.5, 1.0]} for index in range(len(inputs))]
    tokens = PROMPT_TOKENS * len(inputs)
    return {
        "object": "list",
        "model": NAME,
        "data": vectors,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


PATHS = {"/v1/chat/completions": chat, "/v1/completions": text}


@contextmanager
def counted_model(port: int = 0) -> Iterator[CountedModel]:
    """Run the model on a port of the loopback interface; 0 takes a free one."""
    model = CountedModel()
    server = _Server(("127.0.0.1", port), _handler(model))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers who leave."""


def _handler(model: CountedModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self._json({"object": "list", "data": [{"id": NAME, "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.begun[self.path] = model.begun.get(self.path, 0) + 1
            if self.path == "/v1/embeddings":
                self._json(embeddings(body))
                return
            order = Order.of(body)
            whole, events = PATHS[self.path](order)
            if not body.get("stream"):
                with model.working():
                    time.sleep(order.pause * order.words)  # how long the model takes
                self._json(whole)
                return
            with suppress(OSError):  # the caller may leave
                self._stream(events, order.pause)

        def _stream(self, events: list[dict[str, Any]], pause: float) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with model.working():
                for event in events:
                    self._chunk(f"data: {json.dumps(event)}\n\n".encode())
                    if pause:
                        time.sleep(pause)  # how long the model takes for a word
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def _json(self, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


if __name__ == "__main__":
    with counted_model(int(sys.argv[1])) as running:
        print(f"serving {NAME} at {running.url}", flush=True)
        threading.Event().wait()
