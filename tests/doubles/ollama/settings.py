"""What the environment tells the server, read as Ollama reads it."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_PORT = 11434
FOREVER = float("inf")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class StartError(Exception):
    """The server cannot start; the text is what Ollama prints after `Error: `."""


@dataclass(frozen=True)
class Settings:
    """The server's settings; durations in seconds, lengths in tokens."""

    host: str
    port: int
    models: Path
    home: Path
    keep_alive: float
    parallel: int
    context: int
    max_loaded: int
    stall: float


def parse_host(text: str) -> tuple[str, int]:
    """The host and port that `OLLAMA_HOST` means; an invalid port gives the default with a warning."""
    scheme, found, rest = text.strip().strip("\"'").partition("://")
    if not found:
        scheme, rest = "http", scheme
    default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if found else DEFAULT_PORT
    hostport = rest.partition("/")[0]
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*):([^:]*)", hostport)
    if not match:
        return _host(hostport) or "127.0.0.1", default
    try:
        port = int(match[2])
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        print(f'level=WARN msg="invalid port, using default" port={match[2]} default={default}', file=sys.stderr)
        port = default
    return _host(match[1]) or "0.0.0.0", port


def _host(text: str) -> str:
    bare = text.strip("[]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare


def seconds(value: Any) -> float:
    """A keep-alive given as seconds or as a Go duration (`5m`, `1h30m`); negative means for ever.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return FOREVER if value < 0 else float(value)
    text = str(value).strip()
    if re.fullmatch(r"-?\d+", text):
        return seconds(int(text))
    match = re.fullmatch(r"(-?)((?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+)", text)
    if not match:
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", match[2]))
    return FOREVER if match[1] and total else total


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit():
        print(f'level=WARN msg="invalid environment variable, using default" key={name} value={text}', file=sys.stderr)
        return default
    return int(text)


def from_environment() -> Settings:
    """Read the server's settings.

    Raises:
        StartError: `HOME` is not set.
    """
    home = os.environ.get("HOME", "")
    if not home:
        raise StartError("$HOME is not defined")
    host, port = parse_host(os.environ.get("OLLAMA_HOST", ""))
    try:
        keep_alive = seconds(os.environ.get("OLLAMA_KEEP_ALIVE") or "5m")
    except ValueError:
        keep_alive = 300.0
    return Settings(
        host=host,
        port=port,
        models=Path(os.environ.get("OLLAMA_MODELS") or Path(home, ".ollama", "models")),
        home=Path(home),
        keep_alive=keep_alive,
        parallel=_number("OLLAMA_NUM_PARALLEL", 1) or 1,
        context=_number("OLLAMA_CONTEXT_LENGTH", 4096) or 4096,
        max_loaded=_number("OLLAMA_MAX_LOADED_MODELS", 3) or 3,
        # Real Ollama has no such setting: it lets a test see a stalled download without waiting half a minute.
        stall=float(os.environ.get("OLLAMA_DOUBLE_STALL_SECONDS") or 30),
    )
