"""The requests behind a figure, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Select,
    Text,
    and_,
    any_,
    cast,
    func,
    or_,
    select,
    true,
    tuple_,
)

from litellm_hub.usage.connection import reading
from litellm_hub.usage.errors import LogNotReady, PromptsNotPermitted
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.frames import frame_of, valid_zone
from litellm_hub.usage.log import LOG
from litellm_hub.usage.lookup import Span, quarters
from litellm_hub.usage.rollup import PROMPTS
from litellm_hub.usage.spans import Stretch, coverage
from litellm_hub.usage.tiers import within

Cursor = tuple[datetime, str]
"""A place in the list of requests: when the last one shown started, and its id."""
_LARGEST = 10_000
_SPANS = 100  # quarter hours that are looked into at a time


@dataclass(frozen=True)
class Prompt:
    """What a request said and was told.

    Attributes:
        messages: The messages of the request, as the caller sent them.
        response: The answer, as the gateway keeps it.
    """

    messages: list[dict[str, Any]]
    response: Any


_TICK = timedelta(milliseconds=1)


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
    if before is not None and before[0].utcoffset() is None:
        raise ValueError("before has no time zone: give what cursor() returned")
    zone = valid_zone(tz)
    with reading(engine) as connection:
        ids = _ids(connection, where, limit, before)
        return frame_of(connection, _shown(ids), zone)


def _ids(connection: Connection, where: UsageFilter, limit: int, before: Cursor | None) -> list[str]:
    """Find the requests; only the ids, so that tags, names and errors are unpacked for the rows shown alone."""
    place = None if before is None else (before[0].astimezone(UTC).replace(tzinfo=None), before[1])
    # The place's own millisecond may hold more requests.
    until = where.until_utc if place is None else place[0] + _TICK
    covered = coverage(connection)
    found: list[str] = []
    while True:
        wanted = limit - len(found)
        spans = quarters(connection, covered, where, (where.since_utc, until), wanted)
        if not spans:
            return found
        for some in (spans[index : index + _SPANS] for index in range(0, len(spans), _SPANS)):
            if len(found) < limit:
                found += connection.execute(_newest(where, some, limit - len(found), place)).scalars()
        until = spans[-1][0]
        # The log may hold fewer than the roll-up counted: some may have been removed since.
        if len(found) >= limit or until is None or until == where.since_utc:
            return found


def _newest(where: UsageFilter, spans: Sequence[Span], limit: int, place: tuple[datetime, str] | None) -> Select[Any]:
    # Constant bounds: of bounds that come from a joined table the planner expects a ninth of the log each.
    conditions = [or_(*(and_(true(), *within(LOG.c.started_at_utc, Stretch("log", *span))) for span in spans))]
    if place is not None:
        conditions.append(tuple_(LOG.c.started_at_utc, LOG.c.request_id) < tuple_(*place))
    timeless = replace(where, since=None, until=None)
    newest_first = (LOG.c.started_at_utc.desc(), LOG.c.request_id.desc())
    chosen = select(LOG.c.request_id).where(*conditions, *timeless.conditions())
    return chosen.order_by(*newest_first).limit(limit)


def _shown(ids: Sequence[str]) -> Select[Any]:
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
    newest_first = (LOG.c.started_at_utc.desc(), LOG.c.request_id.desc())
    chosen = LOG.c.request_id == any_(cast(list(ids), ARRAY(Text)))
    return select(*columns).where(chosen).order_by(*newest_first)


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


def prompt(engine: Engine, request_id: str) -> Prompt | None:
    """Read what a request said and what the answer was, where the gateway stores that and the lab permits to see it.

    Args:
        engine: What `connect` returned.
        request_id: As `requests` gives it.

    Returns:
        Prompt and answer; None where the gateway stored none for this request.

    Raises:
        PromptsNotPermitted: This database user may not see them; by default nobody may.
    """
    statement = select(PROMPTS.c.messages, PROMPTS.c.response).where(PROMPTS.c.request_id == request_id)
    try:
        with reading(engine) as connection:
            row = connection.execute(statement).one_or_none()
    except LogNotReady as error:
        raise PromptsNotPermitted("Prompts are not shown to this database user.", detail=error.detail) from error
    return None if row is None else Prompt(row.messages, row.response)


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


def _seconds(instant: ColumnElement[Any]) -> ColumnElement[float]:
    """Return the seconds from the request's start to `instant`."""
    return cast(func.date_part("epoch", instant - LOG.c.started_at), Double)
