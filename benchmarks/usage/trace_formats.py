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
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""Where traces with relative times begin unless told otherwise: a Monday."""

_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BURST = ("Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type")
_MOONCAKE = ("timestamp", "input_length", "output_length", "hash_ids")
_MOST_TOKENS = 2**31 - 1  # the log's columns are 32-bit


class TraceUnreadable(Exception):  # noqa: N818 - the names read as what happened
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
        start: When a trace with relative times (Mooncake, BurstGPT) begins; must carry a time zone.

    Yields:
        The requests in the file's order.

    Raises:
        TraceUnreadable: Names the file, the line and the column that are wrong.
        ValueError: `start` has no time zone.
    """
    if start.utcoffset() is None:
        raise ValueError(f"start has no time zone: {start}")
    file = Path(path)
    try:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            yield from _format_of(first, file)(chain([first], lines), file, start)
    except (OSError, EOFError, zlib.error) as error:
        raise TraceUnreadable(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    except UnicodeDecodeError as error:
        raise TraceUnreadable(f"{file} is no text: byte {error.start} of a block is not UTF-8.") from error


_Reader = Callable[[Iterable[str], Path, datetime], Iterator[TraceRequest]]


def _format_of(first: str, file: Path) -> _Reader:
    if first.lstrip().startswith("{"):
        return _mooncake
    names = {name.strip() for name in first.split(",")}
    for known, reader in ((_AZURE, _azure), (_BURST, _burst)):
        if names.issuperset(known):
            return reader
        if names.intersection(known) and len(names.intersection(known)) >= len(known) / 2:
            missing = ", ".join(name for name in known if name not in names)
            raise TraceUnreadable(f"{file}, line 1: the column {missing} is missing.")
    raise TraceUnreadable(f"{file}, line 1: {first.strip()[:60]!r} begins no known trace.")


def _azure(lines: Iterable[str], file: Path, _start: datetime) -> Iterator[TraceRequest]:
    for number, row in _records(lines, file):
        cell = _Cell(file, number, row)
        yield TraceRequest(
            number, cell.instant("TIMESTAMP"), cell.count("ContextTokens"), cell.count("GeneratedTokens")
        )


def _burst(lines: Iterable[str], file: Path, start: datetime) -> Iterator[TraceRequest]:
    for number, row in _records(lines, file):
        cell = _Cell(file, number, row)
        answer = cell.count("Response tokens")
        yield TraceRequest(
            number,
            cell.after(start, "Timestamp", 1.0),
            cell.count("Request tokens"),
            answer,
            model=row["Model"].strip(),
            kind=row["Log Type"].strip(),
            duration=cell.number("Elapsed time") if row.get("Elapsed time") else None,
            failed=answer == 0,  # the trace's description: no response tokens means that the request failed
        )


def _mooncake(lines: Iterable[str], file: Path, start: datetime) -> Iterator[TraceRequest]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TraceUnreadable(
                f"{file}, line {number}, character {error.pos + 1}: no JSON ({error.msg})."
            ) from error
        missing = [name for name in _MOONCAKE if not isinstance(row, dict) or name not in row]
        if missing:
            raise TraceUnreadable(f"{file}, line {number}: the field {missing[0]} is missing.")
        cell = _Cell(file, number, row)
        arrived = cell.after(start, "timestamp", 0.001)
        yield TraceRequest(number, arrived, cell.count("input_length"), cell.count("output_length"))


def _records(lines: Iterable[str], file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise TraceUnreadable(
                    f"{file}, line {reader.line_num}: {len(reader.fieldnames or ())} columns are expected."
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise TraceUnreadable(f"{file}, line {reader.line_num}: {error}.") from error


@dataclass(frozen=True)
class _Cell:
    """Reads the columns of one line, and says where it is when one is wrong."""

    file: Path
    line: int
    row: dict[str, str]

    def number(self, column: str) -> float:
        try:
            value = float(self.row[column])
        except (TypeError, ValueError):
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise self._wrong(column, "a number from 0")
        return value

    def count(self, column: str) -> int:
        value = self.number(column)
        if value != int(value) or value > _MOST_TOKENS:
            raise self._wrong(column, "a whole number of tokens")
        return int(value)

    def after(self, start: datetime, column: str, unit: float) -> datetime:
        try:
            return start + timedelta(seconds=self.number(column) * unit)
        except OverflowError:
            raise self._wrong(column, "a time within centuries") from None

    def instant(self, column: str) -> datetime:
        try:
            found = datetime.fromisoformat(self.row[column].strip())  # digits after the microsecond are dropped
        except ValueError:
            raise self._wrong(column, "a time such as 2023-11-16 18:17:03.9799600") from None
        return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)

    def _wrong(self, column: str, expected: str) -> TraceUnreadable:
        found = str(self.row[column])[:40]
        return TraceUnreadable(f"{self.file}, line {self.line}, column {column!r}: {found!r} is not {expected}.")
