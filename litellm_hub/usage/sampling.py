"""The newest rows of the log, for what the roll-up does not keep: bounded, so that it costs the same on every log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Text, func, select

from litellm_hub.usage.filters import UsageFilter
from litellm_hub.usage.log import LOG
from litellm_hub.usage.lookup import newest_since
from litellm_hub.usage.spans import coverage

NEWEST = 50_000
"""Requests of a time span that are looked at, whoever sent them; somewhat more, up to the next quarter hour."""
_NAMES = {
    "model": LOG.c.model,
    "user": LOG.c.user_id.label("user"),
    "key_alias": LOG.c.key_alias,
    "team": func.coalesce(LOG.c.team_alias, LOG.c.team_id, type_=Text()).label("team"),
}


def newest(
    connection: Connection, where: UsageFilter, columns: Sequence[str], *, names: Sequence[str] = ()
) -> tuple[Select[Any], datetime | None]:
    """Choose the requests that count among the newest of a time span.

    Args:
        connection: To the log.
        where: The requests that count.
        columns: Columns of the log to choose.
        names: Attributes to choose, by the names that callers use.

    Returns:
        A statement with these columns, and since when (UTC without zone) requests are looked at; None where the span
        has no beginning and all of it is.
    """
    covered = coverage(connection)
    since = newest_since(connection, covered, (where.since_utc, where.until_utc), NEWEST)
    wanted = [*(_NAMES[name] for name in names), *(LOG.c[name] for name in columns)]
    conditions = [LOG.c.started_at_utc >= since] if since is not None else []
    chosen: Select[Any] = select(*wanted).where(*conditions, *where.conditions())
    if covered.until is None:  # without a roll-up nobody knows where they begin
        chosen = chosen.order_by(LOG.c.started_at_utc.desc()).limit(NEWEST)
    return chosen, None if since == where.since_utc else since
