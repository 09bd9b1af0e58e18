"""Load a public trace as usage rows into a scratch database: `python -m benchmarks.usage.traces FILE DATABASE`.

What a trace says is loaded as it is: arrival, tokens, and where present model, duration and failure. Who asked is
unknown, so that a trace has one user and one key, both named after it. A trace without durations gets none invented:
its requests end when they begin, unless a speed is given. The database has the hub's migrations and is nobody's log.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2

from benchmarks.usage.trace_formats import FIRST_DAY, TraceError, TraceRequest, read_trace

_COLUMNS = (
    'request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens, "startTime", "endTime",'
    ' "completionStartTime", model, model_group, "user", metadata, request_tags, cache_hit, status'
)
_OWNER = "trace:"


class LiveLogError(Exception):
    """The database is, or may be, a log that real requests are written to."""


@dataclass(frozen=True)
class Speed:
    """How fast a model is thought to be, to give durations to a trace that has none.

    Attributes:
        prompt_tokens_per_s: Tokens of the prompt that are read per second, above 0.
        completion_tokens_per_s: Tokens of the answer that are written per second, above 0.
    """

    prompt_tokens_per_s: float
    completion_tokens_per_s: float

    def seconds(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return how long an answer takes that waits for nothing, in seconds."""
        return prompt_tokens / self.prompt_tokens_per_s + completion_tokens / self.completion_tokens_per_s


def load_trace(
    path: str | Path,
    database: str,
    *,
    name: str = "",
    start: datetime = FIRST_DAY,
    speed: Speed | None = None,
) -> int:
    """Load a trace into a scratch database, whole or not at all; one of the same name is replaced.

    Args:
        path: A file that `read_trace` reads.
        database: Address of the database, of a user who may write to LiteLLM's tables.
        name: Name of the trace, and of its model where the trace names none; default: the file's name without suffix.
        start: When a trace with relative times begins.
        speed: Gives durations to requests that have none; they are tagged `modelled-duration`.

    Returns:
        How many requests were loaded.

    Raises:
        TraceError: The file is not a trace, or a line is damaged; nothing was loaded.
        LiveLogError: The database holds keys or other rows; nothing was loaded.
        psycopg2.Error: The database cannot be written to.
    """
    name = name or re.sub(r"\W+", "-", Path(path).name.split(".")[0])
    count = 0
    with tempfile.TemporaryFile("w+") as rows:
        for request in read_trace(path, start):
            rows.write(_row(request, name, speed))
            count += 1
        rows.seek(0)
        with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
            _refuse_a_live_log(cursor)
            cursor.execute('DELETE FROM "LiteLLM_SpendLogs" WHERE api_key = %s', (_OWNER + name,))
            cursor.copy_expert(f'COPY "LiteLLM_SpendLogs" ({_COLUMNS}) FROM STDIN', rows)
    return count


def _refuse_a_live_log(cursor: psycopg2.extensions.cursor) -> None:
    cursor.execute('SELECT EXISTS (SELECT FROM "LiteLLM_VerificationToken")')
    if cursor.fetchone() == (True,):
        raise LiveLogError("The database holds keys of a gateway: it is, or may be, a live log.")
    cursor.execute('SELECT EXISTS (SELECT FROM "LiteLLM_SpendLogs" WHERE NOT starts_with(api_key, %s))', (_OWNER,))
    if cursor.fetchone() == (True,):
        raise LiveLogError("The database holds requests that are no trace's: it is, or may be, a live log.")


def _row(request: TraceRequest, name: str, speed: Speed | None) -> str:
    """Return a row as COPY reads it."""
    tags = ["trace", *([request.kind] if request.kind else [])]
    duration = request.duration
    if duration is None and speed is not None and not request.failed:
        duration = speed.seconds(request.prompt_tokens, request.completion_tokens)
        tags.append("modelled-duration")
    end = _instant(request.arrived + timedelta(seconds=duration or 0))
    model = request.model or name
    cells = [
        f"{_OWNER}{name}:{request.line}",
        "acompletion",
        _OWNER + name,
        "0",
        str(request.prompt_tokens + request.completion_tokens),
        str(request.prompt_tokens),
        str(request.completion_tokens),
        _instant(request.arrived),
        end,
        end,
        model,
        model,
        _OWNER + name,
        "{}",
        json.dumps(tags),
        "None",
        "failure" if request.failed else "success",
    ]
    return "\t".join(map(_escaped, cells)) + "\n"


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def _escaped(cell: str) -> str:
    for plain, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        cell = cell.replace(plain, escape)
    return cell


def main() -> None:
    """Load a trace."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.usage.traces", description=__doc__)
    parser.add_argument("file", type=Path, help="Azure LLM inference, Mooncake or BurstGPT; as it is or packed by gzip")
    parser.add_argument("database", help="address of the scratch database, of a user who may write")
    parser.add_argument("--name", default="", help="name of the trace (default: the file's)")
    parser.add_argument("--speed", type=float, nargs=2, help="tokens per second of prompt and answer, for durations")
    options = parser.parse_args()
    speed = Speed(*options.speed) if options.speed else None
    try:
        print(f"{load_trace(options.file, options.database, name=options.name, speed=speed):,} requests")
    except (TraceError, LiveLogError, psycopg2.Error) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
