"""An Ollama server and the registry that its models come from.

The server's interface: https://docs.ollama.com/api; what it says in trouble is known from recordings of 0.32.15.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url

from ansible.module_utils.lab_progress import Progress

OWN_REGISTRY = "registry.ollama.ai"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
REGISTRY_TIMEOUT_S = 15
SERVER_TIMEOUT_S = 60
# Hashing tens of gigabytes takes minutes without a word.
VERIFY_TIMEOUT_S = 3600
# Words of Ollama for a source that is out of reach, as against one that answers with a refusal.
UNREACHABLE = (
    "no such host",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no route to host",
    "network is unreachable",
    "certificate",
    "server gave HTTP response",
    "TLS handshake",
    "server misbehaving",
)


class ModelError(Exception):
    """The model cannot be had; the text says why and what helps."""


class SourceError(Exception):
    """The registry does not answer."""


class Registry:
    """One model in a registry.

    Args:
        url: The registry's address.
        name: The model's name and tag.
    """

    def __init__(self, url: str, name: str):
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.insecure = parts.scheme == "http"
        model, _, tag = name.partition(":")
        self.path = model if "/" in model else f"library/{model}"
        self.tag = tag
        self.name = name
        self.pull_name = name if parts.netloc == OWN_REGISTRY else f"{parts.netloc}/{self.path}:{tag}"

    def manifest(self) -> bytes:
        """The model's manifest.

        Raises:
            SourceError: the registry does not answer.
            ModelError: it does not have the model.
        """
        address = f"{self.url}/v2/{self.path}/manifests/{self.tag}"
        try:
            with open_url(address, headers={"Accept": MANIFEST_TYPE}, timeout=REGISTRY_TIMEOUT_S) as answer:
                return answer.read()
        except HTTPError as error:
            if error.code in (400, 404):
                raise ModelError(
                    f"{self.url} has no model of that name and tag. Correct ollama.tag of the entry in lab_models."
                ) from error
            raise SourceError(f"{self.url} answers {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self.url} does not answer: {getattr(error, 'reason', None) or error}") from error

    def digest(self) -> str:
        """The manifest's sha256, which Ollama shows as the model's digest."""
        return hashlib.sha256(self.manifest()).hexdigest()

    @staticmethod
    def layers(manifest: bytes) -> list[dict[str, Any]]:
        """The files that a manifest names, each with `digest` and `size` in bytes."""
        content = json.loads(manifest)
        return [*content.get("layers", []), *filter(None, [content.get("config")])]


class Ollama:
    """A server.

    Args:
        url: Its address.
    """

    def __init__(self, url: str):
        self.address = urlsplit(url).netloc

    def call(self, method: str, path: str, body: dict | None = None) -> Any:
        """One request; an answer other than 200 raises ModelError with the server's words."""
        connection = http.client.HTTPConnection(self.address, timeout=SERVER_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != 200:
            raise ModelError(f"{method} {path}: {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def digest(self, name: str) -> str | None:
        """The model's digest, None where it is not there."""
        models = self.call("GET", "/api/tags")["models"]
        return next((model["digest"] for model in models if model["name"] == name), None)

    def rename(self, source: str, name: str) -> None:
        """Give a model its short name instead of the mirror's; its files are shared, nothing is copied."""
        self.call("POST", "/api/copy", {"source": source, "destination": name})
        self.call("DELETE", "/api/delete", {"model": source})

    def pull(self, name: str, insecure: bool, stall_s: float, retries: int, progress: Progress) -> None:
        """Pull a model; an attempt that stalls or fails is followed by another, which goes on where it ended.

        Args:
            name: What to pull.
            insecure: Whether plain HTTP is allowed.
            stall_s: Seconds without a further byte after which an attempt is given up.
            retries: Attempts after the first.
            progress: Gets the figures.

        Raises:
            SourceError: the registry is out of reach, or stalls at every attempt.
            ModelError: it fails for another reason.
        """
        error: Exception = ModelError("no attempt")
        for attempt in range(retries + 1):
            if attempt:
                progress.say(f"attempt {attempt + 1}: {error}")
            try:
                self._pull(name, insecure, stall_s, progress)
                return
            except SourceError as problem:
                error = problem
            except ModelError as problem:
                if any(
                    words in str(problem) for words in ("file does not exist", "no space left", "invalid model name")
                ):
                    raise
                error = problem
        raise error

    def _pull(self, name: str, insecure: bool, stall_s: float, progress: Progress) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=stall_s)
        last: dict = {}
        try:
            with contextlib.closing(connection):
                connection.request("POST", "/api/pull", json.dumps({"model": name, "insecure": insecure}))
                answer = connection.getresponse()
                grown_at, seen = time.monotonic(), {}
                for text in answer:
                    last = json.loads(text)
                    if "error" in last:
                        break
                    if last.get("status", "").startswith("verifying") and connection.sock:
                        connection.sock.settimeout(VERIFY_TIMEOUT_S)
                    if seen != (seen := {**seen, last.get("digest") or last["status"]: last.get("completed", 0)}):
                        grown_at = time.monotonic()
                    elif time.monotonic() - grown_at > stall_s:
                        raise SourceError(f"no further byte in {stall_s:g} s")
                    if last.get("total"):
                        progress.bytes(last.get("completed", 0), last["total"])
        except TimeoutError as problem:
            raise SourceError(f"no answer in {stall_s:g} s") from problem
        except (ConnectionError, http.client.HTTPException, ValueError) as problem:
            raise ModelError(f"Ollama ended the pull without a result: {problem}. See the service's log.") from problem
        if last.get("status") == "success":
            return
        words = last.get("error") or "the pull ended without a result"
        raise (SourceError if any(sign in words for sign in UNREACHABLE) else ModelError)(words)
