"""Recorded exchanges of real Ollama 0.32.15, and the comparison of the double's answers with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.doubles.ollama_process import Reply

FOLDER = Path(__file__).parents[1] / "doubles" / "recordings"
# The hosts of the recordings: a registry that answers blobs itself, one that redirects, one that is slow, none at all.
PLAIN, REDIRECTING, SLOW, ABSENT = "127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:5002", "127.0.0.1:5999"
MODELS_FOLDER = "/srv/ollama/models"
# Values under these keys are the same on every machine; of all others the type counts.
_STABLE = {
    *("status", "error", "done", "done_reason", "role", "object", "finish_reason", "owned_by", "system_fingerprint"),
    *("format", "family", "families", "parent_model", "parameter_size", "quantization_level", "capabilities"),
    *("type", "stop_reason", "prompt_eval_count", "prompt_tokens", "input_tokens", "context_length", "digest"),
    *("template", "parameters", "message", "total", "version", "name"),
}
_SMALL_BLOB = 1_000_000

T = TypeVar("T", bound=Callable[..., object])
covered: set[str] = set()


def covers(*names: str) -> Callable[[T], T]:
    """Says that a test makes the situation of these recordings."""
    covered.update(names)
    return lambda test: test


@dataclass(frozen=True)
class Recording:
    """One recorded exchange."""

    name: str
    request: dict[str, Any]
    status: int
    content_type: str | None
    lines: list[str]

    def body(self, hosts: dict[str, str]) -> Any:
        """The request's body, with the recorded hosts replaced by those of the test."""
        text = json.dumps(self.request.get("body"))
        for recorded, here in hosts.items():
            text = text.replace(recorded, here)
        return json.loads(text)


def load(name: str) -> Recording:
    """Read a recording."""
    exchange = json.loads((FOLDER / f"{name}.json").read_text())
    response = exchange["response"]
    lines = [entry["line"] for entry in response["body"] if "line" in entry]
    return Recording(name, exchange["request"], response["status"], response["headers"].get("content-type"), lines)


def _shape(value: Any, key: str = "") -> Any:
    """The value with everything that differs from run to run replaced by its type."""
    if isinstance(value, dict):
        return {name: _shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [_shape(item, key) for item in value]
        if key in _STABLE:
            return items
        return sorted((item for at, item in enumerate(items) if item not in items[:at]), key=repr)
    if key in _STABLE or value is None:
        return value
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def _line(text: str, replace: dict[str, str]) -> Any:
    for here, recorded in replace.items():
        text = text.replace(here, recorded)
    prefix = "data: " if text.startswith("data: ") else ""
    try:
        return [prefix, text.endswith("\n"), _shape(json.loads(text[len(prefix) :]))]
    except json.JSONDecodeError:
        return text


def _is_small_and_unfinished(text: str) -> bool:
    """Progress of a small blob, which shows only where its download happens to take longer than 60 ms."""
    found = re.search(r'"total":(\d+),"completed":(\d+)}', text)
    return bool(found and int(found[2]) < int(found[1]) < _SMALL_BLOB)


def shapes(lines: list[str], replace: dict[str, str]) -> list[Any]:
    """The lines' shapes, each run of equal ones once."""
    result: list[Any] = []
    for line in lines:
        shape = _line(line, replace)
        if not _is_small_and_unfinished(line) and (not result or result[-1] != shape):
            result.append(shape)
    return result


def check(name: str, reply: Reply, replace: dict[str, str] | None = None) -> None:
    """Fail where `reply` differs from the recording `name` in status, content type or the shape of its lines.

    Args:
        name: the recording.
        reply: what the double answered.
        replace: texts of the test (addresses, folders, digests) and what stands for them in the recording.
    """
    recording = load(name)
    found = (reply.status, reply.headers.get("content-type"))
    assert found == (recording.status, recording.content_type)
    lines = recording.lines
    if lines == [""]:
        lines = []
    assert shapes(reply.lines, replace or {}) == shapes(lines, {})
