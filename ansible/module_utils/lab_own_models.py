"""The models that a lab has beside its catalogue: kept in its folder, added and taken out by `make model`."""

from __future__ import annotations

import json
import os
import re
import urllib.error
from pathlib import Path

from ansible.module_utils.urls import open_url

from ansible.module_utils import lab_host
from ansible.module_utils.lab_gguf import digest_of
from ansible.module_utils.lab_settings import CONTEXT_MINIMUM, DIGITS, NAME, NAME_REMEDY, problem

DEFAULT_CONTEXT = 4096
TIMEOUT_S = 20
# A model takes its file of the memory, and about as much again for contexts and buffers; measured: 1.7 and 2.0 files.
MEMORY_PER_FILE = 2
SWITCH = {"yes": True, "true": True, "no": False, "false": False}
FORM = "make model NAME=mymodel FILE=/data/mymodel.gguf, or URL=https://… SHA256=…"


def place(home: str) -> Path:
    """The file that keeps them."""
    return Path(home, "config/models.json")


def read(home: str) -> list[dict]:
    """The lab's own entries, in the order in which they were added.

    Raises:
        ValueError: The file is not as it was written.
    """
    try:
        entries = json.loads(place(home).read_text())
    except FileNotFoundError:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise ValueError("no list of models")
    return entries


def without(own: list[dict], name: str) -> tuple[list[dict], list[str]]:
    """The own models without one of them, and the problems with that."""
    left = [entry for entry in own if entry["name"] != name]
    if len(left) < len(own):
        return left, []
    names = ", ".join(entry["name"] for entry in own) or "none"
    remedy = f"It has: {names}. Those of the catalogue leave it by lab_models"
    return own, [problem("NAME", name, "the lab has no such model of its own", remedy)]


def with_one(own: list[dict], entry: dict) -> list[dict]:
    """The own models with another one, in the place of its namesake: who keeps its place keeps its port."""
    if entry["name"] in {other["name"] for other in own}:
        return [entry if other["name"] == entry["name"] else other for other in own]
    return [*own, entry]


def entry_of(order: dict[str, str]) -> tuple[dict, int, list[str]]:
    """What was asked for as an entry of the catalogue, looked at from all sides.

    Args:
        order: `name`, `file`, `url`, `sha256`, `context` and `tools` as they were typed, empty where nothing was.

    Returns:
        The entry, the bytes of its file (0: not told), and the problems. With problems the entry is of no use.
    """
    problems = check_words(order)
    if problems:
        return {}, 0, problems
    digest, file, url = order["sha256"].lower(), os.path.expanduser(order["file"]), order["url"]
    entry: dict = {"name": order["name"], "context": int(order["context"] or DEFAULT_CONTEXT)}
    if order["tools"]:
        entry["tools"] = SWITCH[order["tools"].lower()]
    if file:
        why = lab_host.no_model(file)
        size, found = (0, "") if why else (os.path.getsize(file), digest_of(Path(file)))
        if why:
            problems.append(problem("FILE", file, why, "Name a GGUF file on this host"))
        elif digest and found != digest:
            remedy = "Bring the file again from where it came, or correct SHA256"
            problems.append(problem("SHA256", digest, f"{file} has sha256 {found}", remedy))
        entry["llama_cpp"] = {"file": file, "sha256": found}
    else:
        size, why = look_at(url)
        if why:
            problems.append(problem("URL", url, why, "Name the address of a GGUF file"))
        entry["llama_cpp"] = {"url": url, "sha256": digest}
    if size:
        entry["memory"] = MEMORY_PER_FILE * size // 2**20
    return entry, size, problems


def check_words(order: dict[str, str]) -> list[str]:
    """The problems of what was typed, before anything is looked at."""
    problems = []
    if not NAME.fullmatch(order["name"]):
        problems.append(problem("NAME", order["name"], "no valid name", f"{NAME_REMEDY}: {FORM}"))
    if bool(order["file"]) == bool(order["url"]):
        what = "one of both is needed" if not order["file"] else "only one of both is needed"
        problems.append(problem("FILE", order["file"], f"with URL={order['url']!r}: {what}", FORM))
    if order["url"] and not re.fullmatch(r"https?://[^/\s]+/\S+", order["url"]):
        problems.append(problem("URL", order["url"], "no address of a file", "Use one that begins with https://"))
    if (order["sha256"] or order["url"]) and not DIGITS.fullmatch(order["sha256"].lower()):
        remedy = "Give the 64 hexadecimal digits that the publisher states"
        problems.append(problem("SHA256", order["sha256"], "no sha256 digest", remedy))
    if order["context"] and not (order["context"].isdigit() and int(order["context"]) >= CONTEXT_MINIMUM):
        remedy = f"Use a number from {CONTEXT_MINIMUM} on"
        problems.append(problem("CONTEXT", order["context"], "no number of tokens", remedy))
    if order["tools"].lower() not in ("", *SWITCH):
        problems.append(problem("TOOLS", order["tools"], "neither yes nor no", "Leave it out where you do not know"))
    return problems


def check_room(entry: dict, size: int, memory_mb: int, disk_mb: int) -> list[str]:
    """The problems of a model with the memory and the disk that are free, in MB."""
    problems = []
    if (need := entry.get("memory", 0)) > memory_mb:
        why = f"{need} MB of memory are needed, {memory_mb} MB are free"
        problems.append(problem("NAME", entry["name"], why, "Stop other programs, or take a smaller model"))
    if (need := size // 2**20) > disk_mb:
        why = f"{need} MB of disk are needed, {max(0, disk_mb)} MB are free"
        problems.append(problem("NAME", entry["name"], why, "Make room there"))
    return problems


def look_at(url: str) -> tuple[int, str]:
    """Ask for the first bytes behind an address; give the file's size (0: not told) and why it is no model, or ''."""
    try:
        with open_url(url, headers={"Range": "bytes=0-3"}, timeout=TIMEOUT_S) as answer:
            whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
            told = whole if answer.status == 206 else answer.headers.get("Content-Length", "")
            is_model = answer.read(4) == b"GGUF"
    except urllib.error.HTTPError as error:
        return 0, f"it answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return 0, f"it does not answer: {getattr(error, 'reason', error)}"
    return int(told) if told.isdigit() else 0, "" if is_model else "it is no GGUF file"
