"""A hub that answers as a test tells it to, over a real socket, and notices when its caller leaves."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the hub answers to a chat request.

    Attributes:
        lines: Lines of the stream; a line that starts with "data:" is an event.
        silence_before: Seconds before the headers.
        pause: Seconds between two lines.
        ending: "whole" ends the stream properly, "lost" drops the connection, "silent" says nothing more.
        refusal: HTTP status and JSON body of a refusal, instead of a stream.
    """

    lines: Iterable[str] = ()
    silence_before: float = 0.0
    pause: float = 0.0
    ending: str = "whole"
    refusal: tuple[int, object] | None = None


@dataclass
class ScriptedHub:
    """The hub's address, its script, and what it saw.

    Attributes:
        url: Address of its API, ends in `/v1`.
        reply: What it answers to the body of a chat request.
        models: What it lists.
        notes: What it adds about its models, by name; None for a hub that knows nothing of them.
        place: The place in the queue that it tells of the request with an id, None for none.
        readiness: HTTP status and JSON body of its readiness.
        alive_after: Seconds before it answers anything but a chat request.
        requests: Bodies of the chat requests so far.
        call_ids: What their callers named them.
        left: Set as soon as a caller leaves in the middle of an answer.
    """

    url: str = ""
    reply: Callable[[dict[str, Any]], Reply] = lambda body: Reply(answer_lines(["Hello"]))
    models: Sequence[str] = ("scripted",)
    notes: dict[str, dict[str, Any]] | None = None
    place: Callable[[str], int | None] = lambda call_id: None
    readiness: tuple[int, object] = (200, {"status": "healthy", "lab": {"warnings": []}})
    alive_after: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)


def chunk(text: str = "", **extra: Any) -> str:
    """Return one event of a stream with `text` as its delta."""
    finish = extra.pop("finish_reason", None)
    delta = extra.pop("delta", {"content": text} if text else {})
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk", "choices": [choice], **extra}
    return f"data: {json.dumps(body)}"


def answer_lines(pieces: Sequence[str], *, reason: str = "stop") -> list[str]:
    """Return the events of a whole answer."""
    usage = {"prompt_tokens": 7, "completion_tokens": len(pieces), "total_tokens": 7 + len(pieces), "cost": 3.6e-6}
    return [*map(chunk, pieces), chunk(finish_reason=reason), chunk(usage=usage), "data: [DONE]"]


@contextmanager
def scripted_hub(port: int = 0) -> Iterator[ScriptedHub]:
    """Run a `ScriptedHub` on a port of the loopback interface; 0 takes a free one."""
    hub = ScriptedHub()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: ScriptedHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if not self._wait(hub.alive_after):
                return
            if self.path == "/v1/models":
                self._json({"data": [{"id": name} for name in hub.models]})
            elif self.path == "/key/info":
                self._json({"info": {"spend": 0.25, "max_budget": 5.0}})
            elif self.path.startswith("/model_group/info") and hub.notes is not None:
                data = [{"model_group": name, "max_input_tokens": 4096} for name in hub.models]
                place = hub.place(self.headers.get("x-litellm-call-id", ""))
                self._json({"data": data, "lab": {"models": hub.notes} | ({"place": place} if place else {})})
            elif self.path == "/health/readiness":
                self._json(hub.readiness[1], hub.readiness[0])
            else:
                self._json("I'm alive!")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hub.requests.append(body)
            hub.call_ids.append(self.headers.get("x-litellm-call-id", ""))
            reply = hub.reply(body)
            if not self._wait(reply.silence_before):
                return
            if reply.refusal is not None:
                self._json(reply.refusal[1], reply.refusal[0])
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in reply.lines:
                self._chunk(f"{line}\n\n".encode("utf-8", "surrogatepass"))
                if not self._wait(reply.pause):
                    return
            if reply.ending == "whole":
                self._chunk(b"")
            elif reply.ending == "silent":
                self._wait(60)
            self.close_connection = True

        def _wait(self, seconds: float) -> bool:
            """Wait; return False, and note it, if the caller leaves meanwhile."""
            ready, _, _ = select.select([self.connection], [], [], seconds)
            if not ready:
                return True
            hub.left.set()
            self.close_connection = True
            return False

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

        def _json(self, body: object, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
