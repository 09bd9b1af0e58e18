"""The requests behind a figure, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import ARRAY, ColumnElement, Double, Engine, Text, any_, cast, func, or_, select, tuple_

from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.frames import read, valid_zone
from litellm_hub.usage.log import LOG

Cursor = tuple[datetime, str]
"""A place in the list of requests: when the last one shown started, and its id."""
_LARGEST = 10_000


def requests(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    limit: int = 100,
    before: Cursor | None = None,
    tz: str = "UTC",
) -> pd.DataFrame:
    """List requests, the latest first.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        limit: Number of requests, 1 to 10,000.
        before: Only those after this place in the list: `cursor` of the page before.
        tz: Time zone of `started_at`.

    Returns:
        One row per request: `started_at` (datetime64[us, tz]), `model`, `status`, `error_class`, `error_code`, `user`,
        `team`, `key_alias`, `key_id`, `session_id`, `call_type` (str), `prompt_tokens`, `completion_tokens` (int64),
        `spend` (float64, US dollars), `duration_s`, `first_token_s` (float64, seconds; the latter missing unless
        streamed), `cache_hit` (bool), `tags` (object, lists of str), `request_id` (str).

    Raises:
        ValueError: `limit` is out of range, `before` has no time zone, or `tz` is no time zone.
    """
    if not 1 <= limit <= _LARGEST:
        raise ValueError(f"limit is {limit}: 1 to {_LARGEST:,} requests can be listed at a time")
    newest_first = (LOG.c.started_at_utc.desc(), LOG.c.request_id.desc())
    # The ids come first, so that tags, names and errors are unpacked for the rows shown alone.
    ids = select(LOG.c.request_id).where(*where.conditions(), *_after(before)).order_by(*newest_first).limit(limit)
    columns = [
        *(LOG.c[name] for name in ("started_at", "model", "status", "error_class", "error_code")),
        LOG.c.user_id.label("user"),
        func.coalesce(LOG.c.team_alias, LOG.c.team_id, type_=Text()).label("team"),
        *(LOG.c[name] for name in ("key_alias", "key_id", "session_id", "call_type")),
        *(LOG.c[name] for name in ("prompt_tokens", "completion_tokens", "spend")),
        _seconds(LOG.c.completed_at).label("duration_s"),
        _seconds(LOG.c.first_token_at).label("first_token_s"),
        *(LOG.c[name] for name in ("cache_hit", "tags", "request_id")),
    ]
    chosen = LOG.c.request_id == any_(func.array(ids.scalar_subquery(), type_=ARRAY(Text)))
    return read(engine, select(*columns).where(chosen).order_by(*newest_first), valid_zone(tz))


def cursor(page: pd.DataFrame) -> Cursor | None:
    """Return where the next page begins.

    Args:
        page: What `requests` returned.

    Returns:
        The value for `before`; None after an empty page, which ends the list.
    """
    if page.empty:
        return None
    last = page.iloc[-1]
    return last["started_at"].to_pydatetime(), str(last["request_id"])


def stream_requests(
    engine: Engine, where: UsageFilter = EVERYTHING, *, chunk: int = _LARGEST, tz: str = "UTC"
) -> Iterator[pd.DataFrame]:
    """Give all requests in pages, the latest first, without ever holding more than one page.

    Args:
        engine: What `connect` returned.
        where: The requests that count; with `until`, requests that come meanwhile do not disturb.
        chunk: Requests in a page, 1 to 10,000.
        tz: Time zone of `started_at`.

    Yields:
        Frames as those of `requests`, none of them empty.

    Raises:
        ValueError: As `requests`.
    """
    page = requests(engine, where, limit=chunk, tz=tz)
    while not page.empty:
        yield page
        page = requests(engine, where, limit=chunk, before=cursor(page), tz=tz)


def _after(before: Cursor | None) -> list[ColumnElement[bool]]:
    if before is None:
        return []
    moment = UsageFilter(until=before[0]).until_utc
    place = tuple_(LOG.c.started_at_utc, LOG.c.request_id)
    # The first condition alone is what the index of the log is on.
    return [LOG.c.started_at_utc <= moment, or_(LOG.c.started_at_utc < moment, place < tuple_(moment, before[1]))]


def _seconds(instant: ColumnElement[Any]) -> ColumnElement[float]:
    """Return the seconds from the request's start to `instant`."""
    return cast(func.date_part("epoch", instant - LOG.c.started_at), Double)
