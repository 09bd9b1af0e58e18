"""Group and add up: one statement over all stretches of a range, one frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import pandas as pd
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Engine,
    Integer,
    Select,
    Subquery,
    and_,
    cast,
    func,
    literal_column,
    not_,
    select,
    union_all,
)
from sqlalchemy.types import TypeEngine

from litellm_hub.usage.connection import reading
from litellm_hub.usage.filters import UsageFilter
from litellm_hub.usage.frames import frame_of, valid_zone
from litellm_hub.usage.spans import Grain, Stretch, coverage, levels, stretches
from litellm_hub.usage.tiers import LEVELS, Tier, source, tier_of, within

INSTANT = DateTime(timezone=True)
_QUARTER: ColumnElement[Any] = literal_column("interval '15 minutes'")
_ORIGIN: ColumnElement[Any] = literal_column("timestamp '2000-01-01'")
_DAY: ColumnElement[Any] = literal_column("interval '1 day' - interval '1 microsecond'")


def bucket(moment: ColumnElement[Any], grain: Grain, zone: str) -> ColumnElement[Any]:
    """Beginning of the bucket, on the clock of a zone, that a moment (UTC without zone) lies in."""
    instant = func.timezone("UTC", moment, type_=INSTANT)
    if grain == "quarter":
        # No zone of today is off by less than a quarter of an hour.
        return func.date_bin(
            literal_column("interval '15 minutes'"),
            instant,
            literal_column("timestamptz '2000-01-01 Z'"),
            type_=INSTANT,
        )
    return func.date_trunc(grain, instant, zone, type_=INSTANT)


def checked(by: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Check the attributes that rows of a frame stand for.

    Raises:
        ValueError: Text instead of a tuple, something twice or unknown.
    """
    if isinstance(by, str) or len(set(by)) != len(by) or not set(by) <= set(known):
        raise ValueError(f"by is {by!r}: give a tuple of some of {', '.join(known)}, each once")
    return tuple(by)


def checked_grain(grain: Grain | None) -> Grain | None:
    """Check the length of buckets.

    Raises:
        ValueError: There is no such length.
    """
    if grain not in (None, *get_args(Grain)):
        raise ValueError(f"grain is {grain!r}: give one of {', '.join(get_args(Grain))}")
    return grain


def gathered(
    engine: Engine,
    where: UsageFilter,
    dimensions: Sequence[str],
    sums: Sequence[str],
    *,
    grain: Grain | None = None,
    zone: str = "UTC",
    tier: Tier | None = None,
    derived: Mapping[str, Callable[[ColumnElement[Any]], ColumnElement[Any]]] | None = None,
    latest: str | None = None,
    finish: Callable[[Subquery, Select[Any]], Select[Any]] | None = None,
) -> pd.DataFrame:
    """Add up measures of the requests that count.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        dimensions: Attributes that a row stands for.
        sums: Measures to add up.
        grain: Buckets of time; None for none.
        zone: Time zone of the buckets and of the frame.
        tier: Which tier to read instead of the smallest that knows all attributes.
        derived: Further attributes, computed from when a cell of a quarter hour began.
        latest: Name of a column for when the latest request started, if wanted.
        finish: Changes the statement before it runs; gets the parts, too.

    Returns:
        `time` if there is a grain, the attributes, the sums, the latest start; sorted by time and attributes.
    """
    names = set(dimensions)
    chosen = tier or tier_of(names | where.names)
    available = [unit for unit in LEVELS[chosen] if not derived or unit == "quarter"]
    with reading(engine) as connection:
        pieces = stretches(coverage(connection), where.since_utc, where.until_utc, levels(available, grain, zone))
        parts = [_part(chosen, piece, where, dimensions, sums, grain, zone, bool(derived), latest) for piece in pieces]
        together = union_all(*parts).subquery("part")
        # A clock's fields are worked out once for each quarter hour, not for each cell.
        fields = [make(together.c.moment).label(name) for name, make in (derived or {}).items()]
        keys = [*fields, *(together.c[name] for name in (*(["time"] if grain else []), *dimensions))]
        statement: Select[Any] = select(
            *keys,
            *(_sum(together.c[name]).label(name) for name in sums),
            *([func.max(together.c[latest]).label(latest)] if latest else []),
        )
        statement = statement.group_by(*keys).order_by(*keys) if keys else statement
        return frame_of(connection, finish(together, statement) if finish else statement, valid_zone(zone))


def _part(
    tier: Tier,
    piece: Stretch,
    where: UsageFilter,
    dimensions: Sequence[str],
    sums: Sequence[str],
    grain: Grain | None,
    zone: str,
    moments: bool,
    latest: str | None,
) -> Select[Any]:
    rows = source(tier, piece, where, set(dimensions))
    keys = [bucket(rows.time, grain, zone).label("time")] if grain else []
    keys += [rows.columns[name].label(name) for name in dimensions]
    keys += [func.date_bin(_QUARTER, rows.time, _ORIGIN, type_=DateTime()).label("moment")] if moments else []
    conditions = [
        *within(rows.time, piece),
        *where.conditions_on({name: rows.columns[name] for name in (where.names - {"team"}) | {"is_smoke"}}),
        *rows.conditions,
        *(fits(rows.time, piece, grain, zone) if grain else []),
    ]
    measures = [_sum(rows.sums[name]).label(name) for name in sums]
    largest = [func.max(rows.latest).label(latest)] if latest else []
    statement: Select[Any] = select(*keys, *measures, *largest).select_from(rows.table).where(and_(True, *conditions))
    return statement.group_by(*keys) if keys else statement


def fits(moment: ColumnElement[Any], piece: Stretch, grain: Grain, zone: str) -> list[ColumnElement[bool]]:
    """Conditions that a cell's day lies whole in one bucket, or does not, as the stretch wants it."""
    if piece.whole is None:
        return []
    day = func.date_trunc("day", moment)
    same = bucket(day, grain, zone) == bucket(day + _DAY, grain, zone)
    return [same if piece.whole else not_(same)]


def _sum(value: ColumnElement[Any]) -> ColumnElement[Any]:
    kind: TypeEngine[Any] = Double() if isinstance(value.type, Double) else BigInteger()
    return cast(func.coalesce(func.sum(value), 0), kind)


def local_part(name: str, zone: str) -> Callable[[ColumnElement[Any]], ColumnElement[Any]]:
    """A field of the clock of a zone, `isodow` or `hour` for instance, of a moment (UTC without zone)."""

    def part(moment: ColumnElement[Any]) -> ColumnElement[Any]:
        local = func.timezone(zone, func.timezone("UTC", moment, type_=INSTANT), type_=DateTime())
        return cast(func.date_part(name, local), Integer)

    return part
