"""An Ollama server and the registry that its models come from.

The server's interface: https://docs.ollama.com/api; what it says in trouble is known from recordings of 0.32.15.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import time
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url

from ansible.module_utils.lab_model_store import OWN_REGISTRY, ModelError, SourceError, blobs_of, repository
from ansible.module_utils.lab_progress import Progress

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
REGISTRY_TIMEOUT_S, SERVER_TIMEOUT_S = 15, 60
# Hashing tens of gigabytes, or reading them into memory, takes minutes without a word.
SILENT_WORK_S = 3600
# Words of Ollama for a source that is out of reach, as against one that answers with a refusal.
UNREACHABLE = re.compile(
    "no such host|connection refused|connection reset|i/o timeout|no route to host|network is unreachable|certificate|"
    "server gave HTTP response|TLS handshake|server misbehaving|max retries exceeded|EOF"
)
# A registry, or a proxy before it, that is busy or away; Ollama gives the status and the whole page that came with it.
AWAY = re.compile(r"(?:^|: )(429|50[0234]): ")
MISMATCH = "digest mismatch"
NO_SPACE = "no space left"
# Another attempt ends the same.
FINAL = ("file does not exist", NO_SPACE, "invalid model name", "no Location header")
REMEDIES = {
    "no Location header": "This registry answers files itself, which Ollama does not take. "
    "Put the nginx of ansible/roles/models/files/mirror.conf in front of it.",
    MISMATCH: "The source holds a damaged file. Repair it there, or name another source with ollama_registry_url.",
}


class RefusedError(ModelError):
    """Ollama itself gave the pull up for a reason that does not pass; what it brought is of no use."""


class ServerError(Exception):
    """The Ollama server does not answer."""


class Registry:
    """Where models come from."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.insecure = parts.scheme == "http"
        self.host = parts.netloc
        self._silent: SourceError | None = None

    def pull_name(self, name: str) -> str:
        """What Ollama pulls for `NAME:TAG`: the name itself where the registry is Ollama's own."""
        if self.host == OWN_REGISTRY:
            return name
        return f"{self.host}/{':'.join(repository(name))}"

    def manifest(self, name: str) -> bytes:
        """The manifest of `NAME:TAG`. A registry that did not answer once is not asked again.

        Raises:
            SourceError: the registry does not answer.
            ModelError: it does not have the model.
        """
        if self._silent:
            raise self._silent
        model, tag = repository(name)
        try:
            address, accept = f"{self.url}/v2/{model}/manifests/{tag}", {"Accept": MANIFEST_TYPE}
            with open_url(address, headers=accept, timeout=REGISTRY_TIMEOUT_S) as answer:
                manifest: bytes = answer.read()
            blobs_of(manifest)
        except HTTPError as error:
            if error.code in (400, 404):
                raise ModelError(
                    f"{self.url} has no model of that name and tag. Correct ollama.tag of the entry in lab_models."
                ) from error
            raise SourceError(f"{self.url} answers {error.code}") from error
        except ValueError as error:
            raise SourceError(f"{self.url} answers something else than a model's manifest ({error})") from error
        except (OSError, http.client.HTTPException) as error:
            self._silent = SourceError(f"{self.url} does not answer: {getattr(error, 'reason', None) or error}")
            raise self._silent from error
        return manifest


def digest_of(manifest: bytes) -> str:
    """A manifest's sha256, which Ollama shows as the model's digest."""
    return hashlib.sha256(manifest).hexdigest()


class Ollama:
    """The server."""

    def __init__(self, url: str):
        self.address = urlsplit(url).netloc

    def call(self, method: str, path: str, body: dict | None = None, timeout: float = SERVER_TIMEOUT_S) -> Any:
        """One request.

        Raises:
            ModelError: the answer is another than 200; with the server's words.
            ServerError: there is no answer.
        """
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            with contextlib.closing(connection):
                connection.request(method, path, None if body is None else json.dumps(body))
                answer = connection.getresponse()
                text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{method} {path}: {error}") from error
        if answer.status != 200:
            raise ModelError(f"{method} {path}: {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def models(self) -> dict[str, str]:
        """The digest of each model that is there, by its name and tag."""
        return {model["name"]: model["digest"] for model in self.call("GET", "/api/tags")["models"]}

    def is_loaded(self, name: str) -> bool:
        """Whether the model is in memory."""
        return name in [model["name"] for model in self.call("GET", "/api/ps")["models"]]

    def pull(self, name: str, insecure: bool, stall_s: float, retries: int, pause_s: float, progress: Progress) -> None:
        """Pull a model; an attempt that stalls or fails is followed by another, which goes on where it ended.

        Args:
            name: What to pull.
            insecure: Whether plain HTTP is allowed.
            stall_s: Seconds without a further byte after which an attempt is given up.
            retries: Attempts after the first.
            pause_s: Seconds before the second attempt; twice as many before each further one.
            progress: Gets the figures.

        Raises:
            SourceError: the registry is out of reach, or stalls at every attempt; the next pull goes on there.
            RefusedError: it fails for a reason that stays.
            ModelError: the server broke off.
        """
        before = ""
        for attempt in range(retries + 1):
            try:
                self._pull(name, insecure, stall_s, progress)
                return
            except (SourceError, ModelError) as error:
                # A damaged file may have been damaged on its way once, and costs the whole download each time.
                repeated = MISMATCH in str(error) and MISMATCH in before
                refused = isinstance(error, RefusedError) and any(words in str(error) for words in FINAL)
                if attempt == retries or repeated or refused:
                    raise
                before, pause = str(error), pause_s * 2**attempt
            progress.say(f"attempt {attempt + 2} in {pause:g} s: {before}")
            time.sleep(pause)  # a registry that restarts, or limits its callers, answers the same at once

    def _pull(self, name: str, insecure: bool, stall_s: float, progress: Progress) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=stall_s)
        last: dict = {}
        try:
            with contextlib.closing(connection):
                connection.request("POST", "/api/pull", json.dumps({"model": name, "insecure": insecure}))
                grown_at, seen = time.monotonic(), {}
                for text in connection.getresponse():
                    last = json.loads(text)
                    if "error" in last:
                        break
                    if last.get("status", "").startswith("verifying") and connection.sock:
                        connection.sock.settimeout(SILENT_WORK_S)
                    if seen != (seen := {**seen, last.get("digest") or last["status"]: last.get("completed", 0)}):
                        grown_at = time.monotonic()
                    elif time.monotonic() - grown_at > stall_s:
                        raise SourceError(f"no further byte in {stall_s:g} s")
                    if last.get("total"):
                        progress.bytes(last.get("completed", 0), last["total"])
        except TimeoutError as problem:
            raise SourceError(f"no answer in {stall_s:g} s") from problem
        except (ConnectionError, http.client.HTTPException, ValueError) as problem:
            last = {"broken": f": {problem}"}
        if last.get("status") == "success":
            return
        if "error" not in last:
            raise ModelError(f"Ollama ended the pull without a result{last.get('broken', '')}. See the service's log.")
        words = last["error"]
        if away := AWAY.search(words):
            raise SourceError(f"the registry answers {away[1]} {HTTPStatus(int(away[1])).phrase}")
        if UNREACHABLE.search(words):
            raise SourceError(words)
        raise RefusedError(" ".join([words, *(text for sign, text in REMEDIES.items() if sign in words)]))
