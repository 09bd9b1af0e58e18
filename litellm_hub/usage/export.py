"""The log as Parquet or CSV, in one file or a file for each day.

A file appears under its name only when it is whole. Prompts and answers are in no export.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine

from litellm_hub.usage.drilldown import stream_requests
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.volume import volume

# What begins a formula at the start of a cell: a sign, after whatever has no shape of its own and after quotes.
_SHAPELESS = r'[^\S\t\r\n]|["\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]'
_FORMULA = re.compile(rf"^(?=[\t\r\n])|(^|[;\t\r\n])(?=(?:{_SHAPELESS})*[=+@\-＝＋＠－﹦﹢﹫﹣])")  # noqa: RUF001
_LINE_END = "\r\n"  # of RFC 4180; and what a line may end with is quoted inside of a cell
_SCHEMA = pa.schema(
    [
        ("started_at", pa.timestamp("ms", "UTC")),
        *((name, pa.string()) for name in ("model", "status", "error_class", "error_code", "user", "team")),
        *((name, pa.string()) for name in ("key_alias", "key_id", "session_id", "call_type")),
        *((name, pa.int64()) for name in ("prompt_tokens", "completion_tokens")),
        *((name, pa.float64()) for name in ("spend", "duration_s", "first_token_s")),
        ("cache_hit", pa.bool_()),
        ("tags", pa.list_(pa.string())),
        ("request_id", pa.string()),
    ]
)


def export(
    engine: Engine,
    target: str | Path,
    where: UsageFilter = EVERYTHING,
    *,
    form: Literal["parquet", "csv"] = "parquet",
    tz: str = "UTC",
) -> Iterator[tuple[Path, int]]:
    """Write the log into files, the latest request of each first; a file that is there is written anew.

    Args:
        engine: What `connect` returned.
        target: A file that ends in .parquet or .csv; or a folder, which gets a file for each day that has requests.
        where: The requests that count; without `until` those up to this moment.
        form: Of the files in a folder.
        tz: Time zone of the days; the times in the files are in UTC.

    Yields:
        Each file when it is written, and how many requests are in it.

    Raises:
        UsageError: The log cannot be read.
        OSError: A file cannot be written.
    """
    path, where = Path(target), replace(where, until=where.until or datetime.now(UTC))
    if path.suffix in (".parquet", ".csv"):
        yield path, _write(path, stream_requests(engine, where))
        return
    path.mkdir(parents=True, exist_ok=True)
    for begin in volume(engine, where, by=(), grain="day", tz=tz)["time"]:
        end = begin + pd.DateOffset(days=1)
        day = replace(where, since=max(begin, where.since or begin), until=min(end, where.until or end))
        file = path / f"usage-{begin:%Y-%m-%d}.{form}"
        yield file, _write(file, stream_requests(engine, day))


def _write(path: Path, pages: Iterable[pd.DataFrame]) -> int:
    """Write a file that appears under its name only when it is complete; return its rows."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            rows = (_parquet if path.suffix == ".parquet" else _csv)(stream, pages)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows


def _parquet(stream: IO[bytes], pages: Iterable[pd.DataFrame]) -> int:
    """Write a row group for each page."""
    rows = 0
    with pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer:
        for page in pages:
            started = page["started_at"].dt.tz_convert("UTC").astype("datetime64[ms, UTC]")
            table = pa.Table.from_pandas(page.assign(started_at=started), schema=_SCHEMA, preserve_index=False)
            writer.write_table(table)
            rows += len(page)
    return rows


def _csv(stream: IO[bytes], pages: Iterable[pd.DataFrame]) -> int:
    """Write times in ISO 8601, missing values empty, tags as JSON; what callers name is text also to a spreadsheet."""
    rows = 0
    stream.write((",".join(_SCHEMA.names) + _LINE_END).encode())
    for page in pages:
        started = page["started_at"].dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        shown = page.assign(started_at=started, tags=page["tags"].map(json.dumps))[_SCHEMA.names]
        texts = [*(field.name for field in _SCHEMA if field.type == pa.string()), "tags"]
        shown[texts] = shown[texts].map(without_formulas, na_action="ignore")
        text = shown.to_csv(index=False, header=False, quoting=csv.QUOTE_MINIMAL, lineterminator=_LINE_END)
        stream.write(text.encode())
        rows += len(page)
    return rows


def without_formulas(text: object) -> object:
    """Return a cell of a CSV file that no spreadsheet calculates: an apostrophe stands before what begins a formula.

    Spreadsheets pass over leading blanks, read full-width signs like their plain forms, and divide lines at semicolons
    or tabs where the country's lists have them, so a formula may also begin inside the text.

    Args:
        text: The cell's content; what is no text is returned as it is.
    """
    return _FORMULA.sub(r"\1'", text) if isinstance(text, str) else text
