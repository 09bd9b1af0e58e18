"""The models of the double of Ollama: its folder, and how they come from a registry."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

RECORDINGS = Path(__file__).with_name("recordings")
REGISTRY = "registry.ollama.ai"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PROGRESS_S = 0.06  # Ollama tells how far a pull is this often, moving or not
SILENCE_S = 1.0  # without a byte, then it asks again; Ollama itself waits 30 s
MAGIC = b"GGUF"


class RecordedError(Exception):
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
                raise RecordedError("chat_missing_blob", **{"tinyllama:1.1b": name})
            with path.open("rb") as file:
                damaged = blob["mediaType"].endswith(".model") and file.read(4) != MAGIC
            if damaged or path.stat().st_size != blob["size"]:
                raise RecordedError("chat_truncated_blob")


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


class Puller:
    """Brings models.

    Attributes:
        ends: the recording whose last line ends each pull after one file and a part of the next, empty for none.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.ends = ""

    def pull(self, name: str, insecure: bool) -> Generator[dict[str, Any], None, None]:
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
            if at and self.ends:
                for ending in ("-partial", "-partial-0"):
                    target.with_name(target.name + ending).write_bytes(b"part")
                yield last(self.ends)
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
