"""A double of Ollama 0.32.15, which says what the real one was recorded to say.

The answers lie in `recordings/`. The double itself keeps only the state that they speak of: the models' folder in
Ollama's own layout, into which it really pulls, and one process for each loaded model. It runs inside a test
(`with Ollama(folder)`), or as the program `ollama serve` of a release (see build_ollama_archive.py), which needs Python
and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

VERSION = "0.32.15"
RECORDINGS = Path(__file__).with_name("recordings")
REGISTRY = "registry.ollama.ai"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PROGRESS_S = 0.06  # Ollama tells how far a pull is this often, moving or not
SILENCE_S = 1.0  # without a byte, then it asks again; Ollama itself waits 30 s
TOKEN_S = 0.01
MAGIC = b"GGUF"


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the double
    """A request is answered with a recorded error; `texts` replace those of the recording."""

    def __init__(self, recording: str, **texts: str) -> None:
        super().__init__(recording)
        self.recording = recording
        self.texts = texts


@functools.cache
def recorded(name: str) -> tuple[int, str, list[str]]:
    """Status, content type and lines of a recorded answer."""
    answer = json.loads((RECORDINGS / f"{name}.json").read_text())["response"]
    lines = [entry["line"] for entry in answer["body"] if "line" in entry]
    return answer["status"], answer["headers"].get("content-type", ""), lines


def last(name: str) -> dict[str, Any]:
    """The last line of a recorded answer."""
    line: dict[str, Any] = json.loads(recorded(name)[2][-1])
    return line


def parts(name: str) -> tuple[str, ...]:
    """Registry, name space, model and tag of a name, with Ollama's defaults."""
    rest, _, tag = name.rpartition(":")
    if not rest or "/" in tag:
        rest, tag = name, "latest"
    pieces = rest.split("/")
    return (*(REGISTRY, "library")[: 3 - len(pieces)], *pieces, tag)


def short(registry: str, space: str, model: str, tag: str) -> str:
    """A name as the lists show it: without Ollama's defaults, the tag excepted."""
    if registry != REGISTRY:
        return f"{registry}/{space}/{model}:{tag}"
    return f"{model}:{tag}" if space == "library" else f"{space}/{model}:{tag}"


def stamp(seconds: float) -> str:
    """A time in Ollama's notation."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".000000001Z"


def tokens(text: str) -> int:
    """About as many tokens as a model makes of a text."""
    return len(text.encode()) // 4 if text.isascii() else len(text.encode()) // 2


def blobs_of(manifest: bytes) -> list[dict[str, Any]]:
    """All files that a manifest names."""
    read = json.loads(manifest)
    return [*read["layers"], read["config"]]


class Store:
    """The models' folder."""

    def __init__(self, folder: Path) -> None:
        self.blobs, self.manifests = folder / "blobs", folder / "manifests"
        for path in (self.blobs, self.manifests):
            path.mkdir(parents=True, exist_ok=True)
        self.prune()

    def blob(self, digest: str) -> Path:
        return self.blobs / digest.replace(":", "-")

    def manifest(self, name: str) -> Path:
        return self.manifests.joinpath(*parts(name))

    def names(self) -> list[str]:
        """All models, the one changed last first."""
        paths = sorted(self.manifests.glob("*/*/*/*"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [short(*path.relative_to(self.manifests).parts) for path in paths]

    def facts(self, name: str) -> dict[str, Any]:
        """What the lists say of a model, apart from what was recorded."""
        path = self.manifest(name)
        return {
            "name": name,
            "model": name,
            "modified_at": stamp(path.stat().st_mtime),
            "size": sum(blob["size"] for blob in blobs_of(path.read_bytes())),
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        }

    def write(self, name: str, manifest: bytes) -> None:
        self.manifest(name).parent.mkdir(parents=True, exist_ok=True)
        self.manifest(name).write_bytes(manifest)

    def delete(self, name: str) -> None:
        """Remove a name, its empty folders, and the files that no other name needs."""
        self.manifest(name).unlink()
        for folder in list(self.manifest(name).parents)[:3]:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self.prune()

    def prune(self) -> None:
        """Remove complete files that no model needs; unfinished downloads stay."""
        used = {self.blob(b["digest"]) for name in self.names() for b in blobs_of(self.manifest(name).read_bytes())}
        for path in self.blobs.glob("sha256-*"):
            if "-partial" not in path.name and path not in used:
                path.unlink()

    def check(self, name: str) -> None:
        """Refuse a model that does not load."""
        for blob in blobs_of(self.manifest(name).read_bytes()):
            path = self.blob(blob["digest"])
            if not path.is_file():
                raise Refusal("chat_missing_blob", **{"tinyllama:1.1b": name})
            with path.open("rb") as file:
                damaged = blob["mediaType"].endswith(".model") and file.read(4) != MAGIC
            if damaged or path.stat().st_size != blob["size"]:
                raise Refusal("chat_truncated_blob")


class Download(threading.Thread):
    """One file on its way; ends when it is there, cannot be had or nobody waits for it any more."""

    def __init__(self, url: str, target: Path, size: int, turn: threading.Lock) -> None:
        super().__init__(daemon=True)
        self.url, self.target, self.size, self.turn = url, target, size, turn
        self.partial = target.with_name(f"{target.name}-partial")
        self.state = target.with_name(f"{target.name}-partial-0")
        self.completed = 0
        self.cancelled = threading.Event()
        self.error: dict[str, Any] = {}

    def run(self) -> None:
        with self.turn:  # the one before may not have ended yet
            try:
                while not self.cancelled.is_set() and not self.bring():
                    pass
            except (OSError, http.client.HTTPException) as problem:
                self.error = {"error": f"max retries exceeded: {problem or 'unexpected EOF'}"}

    def bring(self) -> bool:
        """Go on where the last attempt ended; False where the registry fell silent and is to be asked again."""
        if self.state.exists():
            self.completed = json.loads(self.state.read_text())["Completed"]
        answer = get(self.url)
        if answer.status >= 400:
            self.error = {"error": f"{answer.status}: {answer.read().decode()}"}
            return True
        place = urljoin(self.url, answer.getheader("Location") or "")
        if urlsplit(place).hostname == urlsplit(self.url).hostname:
            self.error = last("pull_fresh")
            return True
        answer = get(place, SILENCE_S, Range=f"bytes={self.completed}-{self.size - 1}")
        if answer.status >= 400:
            raise http.client.HTTPException(f"{answer.status}: {answer.read().decode()}")
        self.partial.touch()
        with self.partial.open("r+b", buffering=0) as file:
            file.truncate(self.size)
            file.seek(self.completed)
            while self.completed < self.size and not self.cancelled.is_set():
                try:
                    chunk = answer.read1(1 << 16)
                except TimeoutError:
                    return False
                if not chunk:
                    raise ConnectionError
                file.write(chunk)
                self.completed += len(chunk)
                self.state.write_text(json.dumps({"Completed": self.completed}))
        if self.completed == self.size:
            self.state.unlink()
            self.partial.rename(self.target)
        return True


def get(url: str, timeout: float | None = None, **headers: str) -> http.client.HTTPResponse:
    """Ask a registry; only for a file's bytes Ollama has a time-out."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    connection.request("GET", urlsplit(url).path, headers={"Accept": MANIFEST, "Connection": "close", **headers})
    return connection.getresponse()


class Ollama(ThreadingHTTPServer):
    """The server, which listens from the start.

    Args:
        models: the models' folder.
        port: where it listens on 127.0.0.1; 0 takes a free one.
        context: tokens that a model holds where the request says nothing.
        runner: the program of a model's process; empty loads models without one.

    Attributes:
        pull_ends: the recording whose last line ends each pull after one file and a part of the next, empty for none.
    """

    daemon_threads = True

    def __init__(self, models: Path, port: int = 0, *, context: int = 4096, runner: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.store = Store(models)
        self.models, self.context, self.runner = models, context, runner
        self.loaded: dict[str, subprocess.Popen[bytes] | None] = {}
        self.turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.stopping = threading.Event()
        self.pull_ends = ""
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

    def pull(self, name: str, insecure: bool) -> Iterator[dict[str, Any]]:
        """Bring a model, giving each line of the answer."""
        yield {"status": "pulling manifest"}
        registry, space, model, tag = parts(name)
        if not insecure:
            yield last("pull_default_registry_unreachable")
            return
        url = f"http://{registry}/v2/{space}/{model}"
        try:
            answer = get(f"{url}/manifests/{tag}")
            manifest = answer.read()
        except OSError:
            words = last("pull_no_registry")["error"].replace(
                "library/x/manifests/1", f"{space}/{model}/manifests/{tag}"
            )
            yield {"error": words.replace("127.0.0.1:5999", registry)}
            return
        if answer.status == 404:
            yield last("pull_unknown_model")
            return
        if answer.status != 200:
            yield {"error": f"pull model manifest: {answer.status}: {manifest.decode()}"}
            return
        fresh = []
        for at, blob in enumerate(blobs_of(manifest)):
            digest, target, total = blob["digest"], self.store.blob(blob["digest"]), blob["size"]
            line = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total}
            if target.exists():
                yield {**line, "total": target.stat().st_size, "completed": target.stat().st_size}
                continue
            if at and self.pull_ends:
                for ending in ("-partial", "-partial-0"):
                    target.with_name(target.name + ending).write_bytes(b"part")
                yield last(self.pull_ends)
                return
            fresh.append(target)
            download = Download(f"{url}/blobs/{digest}", target, total, self.turns[digest])
            download.start()
            try:
                while download.join(PROGRESS_S) or download.is_alive():
                    yield {**line, "completed": download.completed}
            finally:
                download.cancelled.set()
            if download.error:
                yield download.error
                return
        yield {"status": "verifying sha256 digest"}
        for target in fresh:
            found = hashlib.sha256(target.read_bytes()).hexdigest()
            if found != target.name[7:]:
                target.unlink()
                words = last("pull_tampered_blob")["error"].partition("want")[0]
                yield {"error": f"{words}want sha256:{target.name[7:]}, got sha256:{found}"}
                return
        yield {"status": "writing manifest"}
        self.store.write(name, manifest)
        yield {"status": "success"}


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
        except Refusal as refusal:
            self.replay(refusal.recording, **refusal.texts)

    do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 - names of http.server

    @property
    def model(self) -> str:
        """The model that is asked for, which is there."""
        name = self.asked.get("model") or self.asked.get("source") or ""
        if not self.server.store.manifest(name).is_file():
            raise Refusal("chat_unknown_model", nosuch=name)
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

    def stream(self, lines: Iterator[dict[str, Any]]) -> None:
        """Answer with lines as they come."""
        self.send_response_only(200)
        self.send_header("Content-Type", recorded("chat_stream")[1])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.closing(lines):  # type: ignore[type-var]
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
        self.stream(self.server.pull(self.asked["model"], bool(self.asked.get("insecure"))))

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
            raise Refusal("chat_tools_unsupported", **{"smollm2:latest": name})
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

    def words(self, name: str, field: str, limit: int) -> Iterator[dict[str, Any]]:
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
    runner = (sys.executable, "-I", str(Path(__file__).with_name("llama-server")))
    server = Ollama(models, port, context=context, runner=runner)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop).start())
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
