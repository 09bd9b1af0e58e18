"""Where in the log to look: the roll-up knows which quarter hours hold the newest requests that count.

The view of the log is a security barrier, so that PostgreSQL answers "the newest 100" by reading all of it; a condition
on the time, on the other hand, it takes to the log's index. So the roll-up is asked first for a time that holds enough.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from litellm_hub.usage import rollup
from litellm_hub.usage.filters import UsageFilter
from litellm_hub.usage.spans import QUARTER, Coverage, Stretch
from litellm_hub.usage.tiers import source, tier_of, within

Span = tuple[datetime | None, datetime | None]
"""From an instant to another one (not in it), UTC without zone; None for no end."""


def newest_since(connection: Connection, covered: Coverage, span: Span, count: int) -> datetime | None:
    """Find the beginning of the newest requests of a span, whoever sent them.

    Args:
        connection: To the log.
        covered: What the roll-up holds.
        span: Where they are.
        count: How many there have to be.

    Returns:
        The youngest beginning of a quarter hour after which there are so many, or the span's own beginning where there
        are fewer.
    """
    since, until = span
    cells = rollup.QUARTER
    running = func.sum(cells.c.requests).over(order_by=cells.c.bucket.desc()).label("running")
    counted = select(cells.c.bucket, running).where(*within(cells.c.bucket, Stretch("quarter", None, until))).subquery()
    enough = select(func.max(counted.c.bucket)).where(counted.c.running >= count)
    found: datetime | None = connection.execute(enough).scalar_one()
    if found is None or (covered.since is not None and found < covered.since):
        return since
    return found if since is None else max(found, since)


def quarters(connection: Connection, covered: Coverage, where: UsageFilter, span: Span, count: int) -> list[Span]:
    """Find quarter hours that hold the newest requests that count, and what the roll-up does not know.

    Args:
        connection: To the log.
        covered: What the roll-up holds.
        where: The requests that count; its time span is not looked at.
        span: Where they are.
        count: How many there have to be.

    Returns:
        Spans without overlap, the newest first. They hold so many requests, or all there are.
    """
    since, until = span
    tier = tier_of(where.names)
    if covered.until is None or tier == "log":
        return [span]
    first, last = _later(since, covered.since), _earlier(until, covered.until)
    cells = Stretch("quarter", None if first is None else first - QUARTER, last)
    rows = source(tier, cells, where, set())
    conditions = where.conditions_on({name: rows.columns[name] for name in (where.names - {"team"}) | {"is_smoke"}})
    statement: Any = select(rows.time, func.sum(rows.sums["requests"])).select_from(rows.table)
    statement = statement.where(*within(rows.time, cells), *conditions, *rows.conditions).group_by(rows.time)
    found: list[Span] = []
    if until is None or until > covered.until:
        found.append((_later(since, covered.until), until))
    held = 0
    for bucket, requests in connection.execute(statement.order_by(rows.time.desc()).limit(count)):
        if found and found[-1][0] == bucket + QUARTER:
            found[-1] = (_later(bucket, since), found[-1][1])
        else:
            found.append((_later(bucket, since), _earlier(bucket + QUARTER, until)))
        held += requests
        if held >= count:
            return found
    if covered.since is not None and (since is None or since < covered.since):
        found.append((since, covered.since))
    return found


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None else one if other is None else max(one, other)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None else one if other is None else min(one, other)
