"""The log as files, one for each day or month: Parquet or CSV, with names or anonymised.

A file is written whole or not at all, and one that is there already is kept: an export that was cut goes on where it
was, one that is repeated adds the new days. Anonymised files hold keyed hashes instead of names (HMAC-SHA256, H.
Krawczyk et al., RFC 2104): the same person has the same hash in all files of one key, and only who has the key can tell
whose it is. Prompts and answers are in no export.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Literal, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine

from litellm_hub.usage.drilldown import stream_requests
from litellm_hub.usage.errors import UsageError
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.volume import volume

Period = Literal["day", "month"]
Format = Literal["parquet", "csv"]

_SETTINGS = "export.json"
# What begins a formula at the start of a cell: a sign, after whatever has no shape of its own and after quotes.
_SHAPELESS = r'[^\S\t\r\n]|["\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]'
_FORMULA = re.compile(rf"^(?=[\t\r\n])|(^|[;\t\r\n])(?=(?:{_SHAPELESS})*[=+@\-＝＋＠－﹦﹢﹫﹣])")  # noqa: RUF001
_LINE_END = "\r\n"  # of RFC 4180; and what a line may end with is quoted inside of a cell
_SETTLED = timedelta(hours=1)  # rows come seconds after their answers, an hour after a gateway's crash at the latest
_NAMES = ("user", "team", "key_alias", "key_id", "session_id", "request_id")
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


class ExportRefused(UsageError):  # noqa: N818 - the names read as what happened
    """The folder holds another kind of export, or cannot be written to."""

    remedy_by_default = "Give another folder, or the settings that the folder's export.json names."


@dataclass(frozen=True)
class Written:
    """A file of the export.

    Attributes:
        path: Where it is.
        rows: Requests in it; for a file that was there already, as many as the log counts.
        expected: Requests that the log counts in its time, also those that were removed for their age.
        kept: Whether it was there already.
    """

    path: Path
    rows: int
    expected: int
    kept: bool


def export(
    engine: Engine,
    folder: str | Path,
    where: UsageFilter = EVERYTHING,
    *,
    period: Period = "day",
    form: Format = "parquet",
    key: bytes | None = None,
    tz: str = "UTC",
    now: datetime | None = None,
    progress: Callable[[int, int, Written], None] | None = None,
) -> list[Written]:
    """Write the log into files.

    Args:
        engine: What `connect` returned.
        folder: Where to; made if it is not there. An export of other settings in it is refused.
        where: The requests that count.
        period: A file for each day or for each month that has requests.
        form: "parquet" or "csv".
        key: Makes the export anonymous: names, ids and tags become hashes with this key, of 16 bytes or more.
        tz: Time zone of the days and months; the times in the files are in UTC.
        now: End of what is exported; default: this moment.
        progress: Is called after each file with its number, the number of all, and the file.

    Returns:
        The files, oldest first. Those whose time was not over for an hour when they were written are written anew.

    Raises:
        ExportRefused: The folder holds an export of other settings, or cannot be written to.
        UsageError: The log cannot be read.
        ValueError: `key` is too short.
    """
    if key is not None and len(key) < 16:
        raise ValueError(f"the key has {len(key)} bytes: give 16 or more")
    moment = now or datetime.now(UTC)
    where = replace(where, until=min(where.until or moment, moment))
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        _settle(target, _settings(where, period, form, key, tz))
        counts = volume(engine, where, by=(), grain=period, tz=tz)
        written = []
        for number, (begin, expected) in enumerate(zip(counts["time"], counts["requests"], strict=True), 1):
            file = _one(engine, target, where, begin, int(expected), period, form, key)
            written.append(file)
            if progress:
                progress(number, len(counts), file)
    except OSError as error:
        raise ExportRefused(f"{error.filename or target} cannot be written: {error.strerror}.") from error
    return written


def make_key(file: str | Path) -> bytes:
    """Read the key of an anonymised export; make one if the file is not there, readable for its owner alone.

    Raises:
        ExportRefused: The file cannot be read or made, or holds fewer than 16 bytes.
    """
    path = Path(file)
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_hex(32) + "\n")
        key = path.read_bytes().strip()
    except OSError as error:
        raise ExportRefused(f"The key file {path}: {error.strerror}.", remedy="Give another --key-file.") from error
    if len(key) < 16:
        raise ExportRefused(
            f"The key file {path} holds {len(key)} bytes.", remedy="A key has 16 or more; without the file one is made."
        )
    return key


def _one(
    engine: Engine,
    folder: Path,
    where: UsageFilter,
    begin: pd.Timestamp,
    expected: int,
    period: Period,
    form: Format,
    key: bytes | None,
) -> Written:
    """Write the file of one day or month, unless it is there and was written when that was over."""
    end = begin + (pd.DateOffset(days=1) if period == "day" else pd.DateOffset(months=1))
    path = folder / f"usage-{begin.strftime('%Y-%m-%d' if period == 'day' else '%Y-%m')}.{form}"
    if path.exists() and datetime.fromtimestamp(path.stat().st_mtime, UTC) > end + _SETTLED:
        return Written(path, expected, expected, kept=True)
    since = max(begin, where.since) if where.since else begin
    part = replace(where, since=since, until=min(end, where.until or end))
    rows = 0
    with _whole(path) as stream, _Parquet(stream) if form == "parquet" else _Csv(stream) as writer:
        for page in stream_requests(engine, part):
            writer.add(_anonymous(page, key) if key else page)
            rows += len(page)
    return Written(path, rows, expected, kept=False)


def _anonymous(page: pd.DataFrame, key: bytes) -> pd.DataFrame:
    def hashed(text: object) -> object:
        if not isinstance(text, str):
            return text  # a missing value stays missing
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:24]

    changed = {name: page[name].map(hashed) for name in _NAMES}
    return page.assign(**changed, tags=page["tags"].map(lambda tags: [hashed(tag) for tag in tags]))


def _settings(where: UsageFilter, period: Period, form: Format, key: bytes | None, tz: str) -> dict[str, object]:
    chosen = {name: value for name, value in vars(where).items() if value and name not in ("since", "until")}
    named = {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
    since = where.since.isoformat() if where.since else None
    digest = hmac.new(key, b"which key", hashlib.sha256).hexdigest()[:8] if key else None
    return {"period": period, "format": form, "tz": tz, "since": since, "where": named, "anonymised_with": digest}


def _settle(folder: Path, settings: dict[str, object]) -> None:
    """Compare with the export that is there, or note what this one is."""
    file = folder / _SETTINGS
    if file.exists():
        there = json.loads(file.read_text(encoding="utf-8"))
        other = [name for name in settings if there.get(name) != settings[name]]
        if other:
            differs = ", ".join(f"{name} is {there.get(name)!r} there and {settings[name]!r} here" for name in other)
            raise ExportRefused(f"{folder} holds another export: {differs}.")
        return
    with _whole(file) as stream:
        stream.write((json.dumps(settings, indent=2) + "\n").encode())


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when it is complete."""
    handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644 & ~_umask())  # noqa: PTH101 - a temporary file is its owner's alone
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def without_formulas(text: object) -> object:
    """Return a cell of a CSV file that no spreadsheet calculates: an apostrophe stands before what begins a formula.

    Spreadsheets pass over leading blanks, read full-width signs like their plain forms, and divide lines at semicolons
    or tabs where the country's lists have them, so a formula may also begin inside the text.

    Args:
        text: The cell's content; what is no text is returned as it is.
    """
    return _FORMULA.sub(r"\1'", text) if isinstance(text, str) else text


class _Writer(Protocol):
    def __enter__(self) -> _Writer: ...
    def __exit__(self, *_error: object) -> None: ...
    def add(self, page: pd.DataFrame) -> None: ...


class _Parquet:
    """A row group for each page."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(stream, _SCHEMA, compression="zstd")

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()

    def add(self, page: pd.DataFrame) -> None:
        in_utc = page.assign(started_at=page["started_at"].dt.tz_convert("UTC").astype("datetime64[ms, UTC]"))
        self._writer.write_table(pa.Table.from_pandas(in_utc, schema=_SCHEMA, preserve_index=False))


class _Csv:
    """Times in ISO 8601, missing values empty, tags as JSON; what callers name is text also to a spreadsheet."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        stream.write((",".join(_SCHEMA.names) + _LINE_END).encode())

    def __enter__(self) -> _Csv:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.flush()

    def add(self, page: pd.DataFrame) -> None:
        started = page["started_at"].dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        shown = page.assign(started_at=started, tags=page["tags"].map(json.dumps))[_SCHEMA.names]
        texts = [*(field.name for field in _SCHEMA if field.type == pa.string()), "tags"]
        shown[texts] = shown[texts].map(without_formulas, na_action="ignore")
        text = shown.to_csv(index=False, header=False, quoting=csv.QUOTE_MINIMAL, lineterminator=_LINE_END)
        self._stream.write(text.encode())
