"""The newest rows of the log, for what the roll-up does not keep: bounded, so that it costs the same on every log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Text, func, select

from litellm_hub.usage.filters import UsageFilter
from litellm_hub.usage.log import LOG

NEWEST = 50_000
"""Requests of a time span that are looked at, whoever sent them."""
_NAMES = {
    "model": LOG.c.model,
    "status": LOG.c.status,
    "user": LOG.c.user_id.label("user"),
    "key_alias": LOG.c.key_alias,
    "team": func.coalesce(LOG.c.team_alias, LOG.c.team_id, type_=Text()).label("team"),
    "is_smoke": LOG.c.is_smoke,
}


def newest(where: UsageFilter, columns: Sequence[str], *, names: Sequence[str] = ()) -> Select[Any]:
    """Choose the requests that count among the newest of a time span.

    Args:
        where: The requests that count.
        columns: Columns of the log to choose, besides those of the filter.
        names: Attributes to choose, by the names that callers use.

    Returns:
        A statement with these columns, `user`, `key_alias`, `status` and `started_at_utc`.
    """
    wanted = {"user", "key_alias", "status", "is_smoke", *where.names, *names} - {"tag", "team"}
    if "team" in where.names or "team" in names:
        wanted.add("team")
    extra = {
        "started_at_utc",
        *columns,
        *(["team_alias", "team_id"] if where.team else []),
        *(["tags"] if where.tag else []),
    }
    span = UsageFilter(since=where.since, until=where.until, include_smoke=True)
    latest = select(*(_NAMES[name] for name in sorted(wanted)), *(LOG.c[name] for name in sorted(extra - wanted)))
    rows = latest.where(*span.conditions()).order_by(LOG.c.started_at_utc.desc()).limit(NEWEST).subquery("newest")
    chosen: Select[Any] = select(*(column for column in rows.c if column.name != "is_smoke"))
    conditions = where.conditions_on({name: rows.c[name] for name in (where.names - {"tag", "team"}) | {"is_smoke"}})
    if where.team is not None:
        teams = [where.team] if isinstance(where.team, str) else list(where.team)
        conditions.append(rows.c.team_alias.in_(teams) | rows.c.team_id.in_(teams))
    if where.tag is not None:
        conditions.append(rows.c.tags.overlap([where.tag] if isinstance(where.tag, str) else list(where.tag)))
    return chosen.where(*conditions)
