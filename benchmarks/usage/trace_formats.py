"""Public traces of language model services, read line by line: who publishes them, and what a line means.

Three formats are known, told apart by a file's first line:

- Azure LLM inference (CSV: TIMESTAMP, ContextTokens, GeneratedTokens), https://github.com/Azure/AzurePublicDataset
- Mooncake (JSON lines: timestamp in ms, input_length, output_length, hash_ids), https://github.com/kvcache-ai/Mooncake
- BurstGPT (CSV: Timestamp in s, Model, Request tokens, Response tokens, Total tokens, Log Type, and in later releases
  Elapsed time in s), https://github.com/HPMLL/BurstGPT
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""Where traces with relative times begin unless told otherwise: a Monday."""

_MOST_TOKENS = 2**31 - 1  # the log's columns are 32-bit


class TraceError(Exception):
    """A trace file is missing, of an unknown format, or damaged."""


@dataclass(frozen=True)
class TraceRequest:
    """One request of a trace.

    Attributes:
        line: Its line in the file, from 1.
        arrived: When it arrived.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens of the answer.
        model: Model as the trace calls it; empty where the trace does not say.
        kind: Kind of request as the trace calls it; empty where the trace does not say.
        duration: Seconds from arrival to the end of the answer; None where the trace does not say.
        failed: Whether the trace records that no answer came.
    """

    line: int
    arrived: datetime
    prompt_tokens: int
    completion_tokens: int
    model: str = ""
    kind: str = ""
    duration: float | None = None
    failed: bool = False


def read_trace(path: str | Path, start: datetime = FIRST_DAY) -> Iterator[TraceRequest]:
    """Read a trace, one request after the other, in constant memory.

    Args:
        path: The file, as it is or packed by gzip (`.gz`).
        start: When a trace with relative times (Mooncake, BurstGPT) begins, with a time zone.

    Yields:
        The requests in the file's order.

    Raises:
        TraceError: Names the file and the line that are wrong.
    """
    file, number = Path(path), 1
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            whole = chain([first], lines)
            if first.lstrip().startswith("{"):
                for number, line in enumerate(whole, 1):
                    if line.strip():
                        yield _mooncake(number, json.loads(line), start)
                return
            rows = csv.DictReader(whole, strict=True)
            known = [reader for name, reader in _READERS.items() if name in (rows.fieldnames or ())]
            if not known:
                raise TraceError(f"{file}, line 1: {first.strip()[:60]!r} begins no known trace.")
            for row in rows:
                number = rows.line_num
                yield known[0](number, row, start)
    except (LookupError, TypeError, ValueError, OverflowError, csv.Error) as error:  # text that is no UTF-8, too
        raise TraceError(f"{file}, line {number}: {error!r}.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _azure(number: int, row: dict[str, str], _start: datetime) -> TraceRequest:
    arrived = datetime.fromisoformat(row["TIMESTAMP"].strip())  # digits after the microsecond are dropped
    arrived = arrived if arrived.utcoffset() is not None else arrived.replace(tzinfo=UTC)
    return TraceRequest(number, arrived, _tokens(row["ContextTokens"]), _tokens(row["GeneratedTokens"]))


def _burst(number: int, row: dict[str, str], start: datetime) -> TraceRequest:
    answer = _tokens(row["Response tokens"])
    return TraceRequest(
        number,
        start + timedelta(seconds=float(row["Timestamp"])),
        _tokens(row["Request tokens"]),
        answer,
        model=row["Model"].strip(),
        kind=row["Log Type"].strip(),
        duration=float(row["Elapsed time"]) if row.get("Elapsed time") else None,
        failed=answer == 0,  # the trace's description: no response tokens means that the request failed
    )


def _mooncake(number: int, row: dict[str, float], start: datetime) -> TraceRequest:
    arrived = start + timedelta(milliseconds=row["timestamp"])
    return TraceRequest(number, arrived, _tokens(row["input_length"]), _tokens(row["output_length"]))


_READERS = {"ContextTokens": _azure, "Log Type": _burst}


def _tokens(cell: str | float) -> int:
    count = int(cell)
    if not 0 <= count == float(cell) <= _MOST_TOKENS:
        raise ValueError(f"{cell!r} is no number of tokens")
    return count
