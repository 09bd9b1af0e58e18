"""A double of Ollama 0.32.15, which says what the real one was recorded to say.

The answers lie in `recordings/`. The double itself keeps only the state that they speak of: the models' folder in
Ollama's own layout, into which it really pulls, and one process for each loaded model. It runs inside a test
(`with Ollama(folder)`), or as the program `ollama serve` of a release (see build_ollama_archive.py), which needs Python
and nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.doubles.ollama_store import Puller, RecordedError, Store, last, parts, recorded, short, stamp

VERSION = "0.32.15"
TOKEN_S = 0.01


def tokens(text: str) -> int:
    """About as many tokens as a model makes of a text."""
    return len(text.encode()) // 4 if text.isascii() else len(text.encode()) // 2


class Ollama(ThreadingHTTPServer):
    """The server, which listens from the start.

    Args:
        models: the models' folder.
        port: where it listens on 127.0.0.1; 0 takes a free one.
        context: tokens that a model holds where the request says nothing.
        runner: the program of a model's process; empty loads models without one.
    """

    daemon_threads = True

    def __init__(self, models: Path, port: int = 0, *, context: int = 4096, runner: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.store = Store(models)
        self.puller = Puller(self.store)
        self.models, self.context, self.runner = models, context, runner
        self.loaded: dict[str, subprocess.Popen[bytes] | None] = {}
        self.stopping = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def server_bind(self) -> None:
        # Without the base class's look-up of the host's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def __enter__(self) -> Ollama:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the answers, the server and the models' processes."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for name in list(self.loaded):
            self.unload(name)

    def call(self, method: str, path: str, body: Any = None) -> list[Any]:
        """Send one request and read the lines of the answer."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body and json.dumps(body))
            return [json.loads(line) for line in connection.getresponse().read().splitlines()]

    def load(self, name: str) -> None:
        self.store.check(name)
        process = self.loaded.get(name)
        if name not in self.loaded or (process and process.poll() is not None):
            self.loaded[name] = subprocess.Popen([*self.runner, "--model", name]) if self.runner else None

    def unload(self, name: str) -> None:
        process = self.loaded.pop(name, None)
        if process:
            process.terminate()
            process.wait()

    def crashed(self, name: str) -> bool:
        process = self.loaded.get(name)
        return bool(process and process.poll() is not None)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Ollama

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is of interest."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # a client that goes away ends its connection alone
            super().handle()

    def do_GET(self) -> None:
        self.asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        action = f"{self.command} {self.path.partition('?')[0]}".replace("HEAD", "GET")
        try:
            ACTIONS.get(action, lambda handler: handler.replay("unknown_path"))(self)
        except RecordedError as refusal:
            self.replay(refusal.recording, **refusal.texts)

    do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 - names of http.server

    @property
    def model(self) -> str:
        """The model that is asked for, which is there."""
        name = self.asked.get("model") or self.asked.get("source") or ""
        if not self.server.store.manifest(name).is_file():
            raise RecordedError("chat_unknown_model", nosuch=name)
        return short(*parts(name))

    def send(self, status: int, kind: str, body: str) -> None:
        self.send_response_only(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def replay(self, name: str, **texts: str) -> None:
        """Answer as recorded, each of `texts` instead of the recording's."""
        status, kind, lines = recorded(name)
        body = "".join(lines)
        for there, here in texts.items():
            body = body.replace(there, here)
        self.send(status, kind, body)

    def stream(self, lines: Generator[dict[str, Any], None, None]) -> None:
        """Answer with lines as they come."""
        self.send_response_only(200)
        self.send_header("Content-Type", recorded("chat_stream")[1])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.closing(lines):
            for line in lines:
                data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                if self.server.stopping.is_set():
                    raise ConnectionAbortedError
        self.wfile.write(b"0\r\n\r\n")

    def list(self, recording: str, names: list[str], *facts: str) -> None:
        """Answer with one entry for each name, like that of a recorded list."""
        status, kind, [line] = recorded(recording)
        [entry] = json.loads(line)["models"]
        entries = [{**entry, **self.server.store.facts(name)} for name in names]
        models = [{key: value for key, value in entry.items() if key in facts or not facts} for entry in entries]
        self.send(status, kind, json.dumps({"models": models}))

    def ps(self) -> None:
        self.list("ps_loaded", list(self.server.loaded), *json.loads(recorded("ps_loaded")[2][0])["models"][0])

    def copy(self) -> None:
        self.server.store.write(self.asked["destination"], self.server.store.manifest(self.model).read_bytes())
        self.replay("copy")

    def delete(self) -> None:
        self.server.store.delete(self.model)
        self.replay("delete")

    def pull(self) -> None:
        self.stream(self.server.puller.pull(self.asked["model"], bool(self.asked.get("insecure"))))

    def answer(self) -> None:
        """Load the model, and let it go, or say the recorded words over and over up to the asked number of tokens."""
        asked, name = self.asked, self.model
        options, field = asked.get("options") or {}, "message" if "chat" in self.path else "response"
        if not asked.get("messages") and not asked.get("prompt"):
            if asked.get("keep_alive") == 0:
                self.server.unload(name)
            else:
                self.server.load(name)
            self.replay("unload" if asked.get("keep_alive") == 0 else "load", smollm2=asked["model"])
            return
        if asked.get("tools"):
            raise RecordedError("chat_tools_unsupported", **{"smollm2:latest": name})
        self.server.load(name)
        prompt = asked.get("prompt") or "".join(str(message["content"]) for message in asked["messages"])
        size, context = tokens(prompt), int(options.get("num_ctx") or self.server.context)
        if asked.get("truncate") is False and size >= context:
            words = f"request ({size} tokens) exceeds the available context size ({context} tokens), try increasing it"
            self.send(400, recorded("chat_nostream")[1], json.dumps({"error": words}))
            return
        lines = self.words(name, field, int(options.get("num_predict") or -1))
        if asked.get("stream", True):
            self.stream(lines)
            return
        said = list(lines)
        text = "".join(line["message"]["content"] if field == "message" else line["response"] for line in said[:-1])
        whole = {**said[-1], field: {"role": "assistant", "content": text} if field == "message" else text}
        self.send(200, recorded("chat_nostream")[1], json.dumps(whole))

    def words(self, name: str, field: str, limit: int) -> Generator[dict[str, Any], None, None]:
        *said, end = map(json.loads, recorded("chat_stream" if field == "message" else "generate_stream")[2])
        stated = {"model": self.asked["model"], "created_at": stamp(time.time())}
        count = limit if limit >= 0 else len(said)
        for at in range(count):
            if self.server.stopping.wait(TOKEN_S) or self.server.crashed(name):
                yield last("chat_runner_killed_midstream")
                return
            yield {**said[at % len(said)], **stated}
        yield {**end, **stated, "done_reason": "length" if limit >= 0 else "stop", "eval_count": count}


ACTIONS = {
    "GET /": lambda handler: handler.replay("root"),
    "GET /api/version": lambda handler: handler.replay("version"),
    "GET /api/tags": lambda handler: handler.list("tags_after_pull", handler.server.store.names()),
    "GET /api/ps": Handler.ps,
    "POST /api/show": lambda handler: handler.model and handler.replay("show"),
    "POST /api/copy": Handler.copy,
    "DELETE /api/delete": Handler.delete,
    "POST /api/pull": Handler.pull,
    "POST /api/chat": Handler.answer,
    "POST /api/generate": Handler.answer,
}


def main() -> int:
    """`ollama serve`, until SIGTERM."""
    if sys.argv[1:] != ["serve"]:
        print(f"Error: unknown command {sys.argv[1:]}", file=sys.stderr)
        return 1
    context = int(os.environ.get("OLLAMA_CONTEXT_LENGTH") or 4096)
    models, port = Path(os.environ["OLLAMA_MODELS"]), int(os.environ["OLLAMA_HOST"].rpartition(":")[2])
    runner = (sys.executable, "-I", str(Path(__file__).parents[2] / "llama-server"))
    server = Ollama(models, port, context=context, runner=runner)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop).start())
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
