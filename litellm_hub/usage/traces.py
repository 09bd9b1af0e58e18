"""Load a public trace as usage rows into a scratch database, for demonstrations and back-tests; never into a live log.

What a trace says is loaded as it is: arrival, tokens, and where present model, duration and failure. Who asked is
unknown, so that a trace has one user and one key, both named after it. A trace without durations gets none invented:
its requests end when they begin, unless a speed is given.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from litellm_hub.usage.errors import LogNotConfigured, LogNotReady, LogUnreachable, UsageError
from litellm_hub.usage.trace_formats import FIRST_DAY, TraceRequest, TraceUnreadable, read_trace

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

_COLUMNS = (
    'request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens, "startTime", "endTime",'
    ' "completionStartTime", model, model_group, "user", metadata, request_tags, cache_hit, status'
)
_OWNER = "trace:"


class LiveLogRefused(UsageError):  # noqa: N818 - the names read as what happened
    """The database is, or may be, a log that real requests are written to."""

    remedy_by_default = (
        "Make a database of its own for traces (CREATE DATABASE trace_demo) and apply the hub's migrations to it."
    )


@dataclass(frozen=True)
class Speed:
    """How fast a model is thought to be, to give durations to a trace that has none.

    Attributes:
        prompt_tokens_per_s: Tokens of the prompt that are read per second.
        completion_tokens_per_s: Tokens of the answer that are written per second.
    """

    prompt_tokens_per_s: float
    completion_tokens_per_s: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}: give tokens per second above 0")

    def seconds(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return how long an answer takes that waits for nothing, in seconds."""
        return prompt_tokens / self.prompt_tokens_per_s + completion_tokens / self.completion_tokens_per_s


@dataclass(frozen=True)
class Loaded:
    """What was loaded: name of the trace, number of requests, first and last arrival (None for an empty trace)."""

    name: str
    requests: int
    first: datetime | None
    last: datetime | None


def load_trace(
    path: str | Path,
    database: str,
    *,
    name: str = "",
    start: datetime = FIRST_DAY,
    speed: Speed | None = None,
    replace: bool = False,
) -> Loaded:
    """Load a trace into a scratch database, whole or not at all.

    Args:
        path: A file that `read_trace` reads.
        database: Address of the database, of a user who may write to LiteLLM's tables.
        name: Name of the trace, and of its model where the trace names none; default: the file's name without suffix.
        start: When a trace with relative times begins.
        speed: Gives durations to requests that have none; they are tagged `modelled-duration`.
        replace: Whether the same trace, loaded before, is replaced.

    Returns:
        What was loaded.

    Raises:
        TraceUnreadable: The file is not a trace, or a line is damaged; nothing was loaded.
        LiveLogRefused: The database holds keys or other rows, or is the lab's own; nothing was loaded.
        UsageError: The database cannot be written to, or has this trace already.
    """
    name = name or re.sub(r"\W+", "-", Path(path).name.split(".")[0])
    _refuse_the_labs_own(database)
    lines = _Lines(read_trace(path, start), name, speed)
    with closing(_open(database)) as connection:
        try:
            with connection, connection.cursor() as cursor:
                _refuse_a_live_log(cursor)
                if replace:
                    cursor.execute('DELETE FROM "LiteLLM_SpendLogs" WHERE api_key = %s', (_OWNER + name,))
                cursor.copy_expert(f'COPY "LiteLLM_SpendLogs" ({_COLUMNS}) FROM STDIN', lines)
        except psycopg2.errors.UndefinedTable as error:
            raise LogNotReady("The database lacks the gateway's tables.", remedy=_MIGRATE, detail=str(error)) from error
        except psycopg2.errors.UniqueViolation as error:
            raise UsageError(
                f"The trace {name} is loaded already.", remedy="Load it with --replace.", detail=str(error)
            ) from error
        except psycopg2.Error as error:
            if lines.problem is not None:  # psycopg2 gives its words alone
                raise lines.problem from None
            raise UsageError(f"The trace cannot be loaded: {str(error).splitlines()[0]}", detail=str(error)) from error
    return Loaded(name, lines.count, lines.first, lines.last)


_MIGRATE = (
    "Apply them: DATABASE_URL=… LAB_HOME/venvs/gateway/bin/python litellm_hub/engine/migrate.py"
    " --lab-migrations litellm_hub/migrations"
)


def _open(database: str) -> Connection:
    try:
        target = make_url(database).set(drivername="postgresql")
    except (ArgumentError, ValueError):
        raise LogNotConfigured("--database is not a database address.") from None
    try:
        return psycopg2.connect(target.render_as_string(hide_password=False), connect_timeout=5)
    except psycopg2.OperationalError as error:
        place = f"{target.host or 'localhost'}:{target.port or 5432}/{target.database}"
        raise LogUnreachable(
            f"The database {place} cannot be opened.", remedy="Correct --database.", detail=str(error)
        ) from error


def _refuse_the_labs_own(database: str) -> None:
    own = os.environ.get("LAB_DATABASE_URL", "")
    try:
        here, there = make_url(own), make_url(database)
    except ArgumentError:
        return  # without a valid address there is nothing to compare with; what is in the database decides
    if (here.host, here.port, here.database) == (there.host, there.port, there.database):
        raise LiveLogRefused("This is the lab's own usage log (LAB_DATABASE_URL).")


def _refuse_a_live_log(cursor: psycopg2.extensions.cursor) -> None:
    cursor.execute('SELECT EXISTS (SELECT FROM "LiteLLM_VerificationToken")')
    if cursor.fetchone() == (True,):
        raise LiveLogRefused("The database holds keys of a gateway: it is, or may be, a live log.")
    cursor.execute('SELECT EXISTS (SELECT FROM "LiteLLM_SpendLogs" WHERE NOT starts_with(api_key, %s))', (_OWNER,))
    if cursor.fetchone() == (True,):
        raise LiveLogRefused("The database holds requests that are no trace's: it is, or may be, a live log.")


class _Lines(io.RawIOBase):
    """The rows as COPY reads them, made while it reads."""

    def __init__(self, requests: Iterator[TraceRequest], name: str, speed: Speed | None) -> None:
        self.count = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.problem: TraceUnreadable | None = None
        self._requests = requests
        self._name = name
        self._speed = speed
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            try:
                request = next(self._requests, None)
            except TraceUnreadable as error:
                self.problem = error
                raise
            if request is None:
                break
            self._rest += self._row(request)
        size = len(self._rest) if size < 0 else size
        block, self._rest = self._rest[:size], self._rest[size:]
        return block

    def _row(self, request: TraceRequest) -> bytes:
        self.count += 1
        self.first = min(self.first or request.arrived, request.arrived)
        self.last = max(self.last or request.arrived, request.arrived)
        tags = ["trace", *([request.kind] if request.kind else [])]
        duration = request.duration
        if duration is None and self._speed is not None and not request.failed:
            duration = self._speed.seconds(request.prompt_tokens, request.completion_tokens)
            tags.append("modelled-duration")
        end = _instant(request.arrived + timedelta(seconds=duration or 0))
        model = request.model or self._name
        cells = [
            f"{_OWNER}{self._name}:{request.line}",
            "acompletion",
            _OWNER + self._name,
            "0",
            str(request.prompt_tokens + request.completion_tokens),
            str(request.prompt_tokens),
            str(request.completion_tokens),
            _instant(request.arrived),
            end,
            end,
            model,
            model,
            _OWNER + self._name,
            "{}",
            json.dumps(tags),
            "None",
            "failure" if request.failed else "success",
        ]
        return ("\t".join(map(_escaped, cells)) + "\n").encode()


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def _escaped(cell: str) -> str:
    for plain, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        cell = cell.replace(plain, escape)
    return cell
