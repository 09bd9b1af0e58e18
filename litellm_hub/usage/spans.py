"""Cut a range of time into what each level of the roll-up answers and what only the log itself can.

Whole months, days and quarter hours come from their tables. The rest of a range's ends and what is younger than the
last refresh come from the log: never more than two quarter hours and the time since that refresh, so that an answer is
exact for any range and up to date, and costs what its hours cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, func, select

from litellm_hub.usage.rollup import STATE

Grain = Literal["quarter", "hour", "day", "week", "month"]
"""Length of the buckets of time in a frame; quarter is a quarter of an hour."""
Unit = Literal["log", "quarter", "day", "month"]
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Coverage:
    """What the roll-up holds.

    Attributes:
        since: Everything from here, UTC without zone; None for all of the past.
        until: Up to here; None when nothing has been added up yet.
        frozen_before: Older rows may be gone from the log.
    """

    since: datetime | None = None
    until: datetime | None = None
    frozen_before: datetime | None = None


@dataclass(frozen=True)
class Stretch:
    """A piece of a range and where its answer comes from.

    Attributes:
        unit: Length of the cells to add up; "log" for the log's rows.
        since: First instant, UTC without zone; None for no beginning.
        until: Instant after the last; None for no end.
        whole: Only cells of days that lie whole in a bucket of the answer (True), only those of the other days
            (False), or all cells (None).
    """

    unit: Unit
    since: datetime | None
    until: datetime | None
    whole: bool | None = None


def coverage(connection: Connection) -> Coverage:
    """Read what the roll-up holds at this moment; nothing for a person, who sees none of it."""
    row = connection.execute(
        select(
            func.nullif(STATE.c.covered_from, "-infinity", type_=STATE.c.covered_from.type),
            STATE.c.covered_until,
            func.nullif(STATE.c.frozen_before, "-infinity", type_=STATE.c.frozen_before.type),
        )
    ).one_or_none()
    return Coverage(*row or ())


def levels(available: Sequence[Unit], grain: Grain | None, tz: str) -> list[tuple[Unit, bool]]:
    """Choose the levels whose cells fit into the buckets of an answer.

    Args:
        available: Levels that exist, the coarsest first; the last of them is "quarter". Empty for the log alone.
        grain: Buckets of the answer; None for one that takes all.
        tz: Time zone of the buckets.

    Returns:
        Levels and whether all cells of them fit. Where not, those that cross a bucket's border do not.
    """
    if grain is None or not available:
        return [(unit, True) for unit in available]
    fitting: dict[Grain, tuple[Unit, ...]] = {"day": ("day",), "week": ("day",), "month": ("day", "month")}
    if tz == "UTC":
        return [(unit, True) for unit in available if unit == "quarter" or unit in fitting.get(grain, ())]
    days = [("day", False)] if "day" in available and grain in ("week", "month") else []
    return [*days, ("quarter", True)]  # type: ignore[list-item]


def stretches(
    covered: Coverage, since: datetime | None, until: datetime | None, chosen: Sequence[tuple[Unit, bool]]
) -> list[Stretch]:
    """Cut a range.

    Args:
        covered: What the roll-up holds.
        since: Beginning of the range, UTC without zone; None for no beginning.
        until: End of the range (not in it); None for no end.
        chosen: What `levels` returned; empty to read nothing but the log.

    Returns:
        Stretches that cover the range without overlap.
    """
    lower = covered.since if since is None else since if covered.since is None else max(since, covered.since)
    upper = covered.until if until is None or covered.until is None else min(until, covered.until)
    if not chosen or upper is None or (lower is not None and lower >= upper):
        return [Stretch("log", since, until)]
    first, last = _inner(covered, lower, upper)
    if first is not None and first >= last:
        return [Stretch("log", since, until)]
    pieces = [] if first is None or since == first else [Stretch("log", since, first)]
    if since is not None and first is not None and first < since:  # rounded outwards, where the log is gone
        pieces = []
    pieces += _cells(first, last, chosen)
    return pieces if until is not None and last >= until else [*pieces, Stretch("log", last, until)]


def _inner(covered: Coverage, lower: datetime | None, upper: datetime) -> tuple[datetime | None, datetime]:
    """The whole quarter hours in a range; where the log is gone, those that the range touches."""
    frozen = covered.frozen_before
    first = (
        lower if lower is None else _floor(lower, "quarter") if frozen and lower < frozen else _ceil(lower, "quarter")
    )
    return first, _ceil(upper, "quarter") if frozen and upper < frozen else _floor(upper, "quarter")


def _cells(first: datetime | None, last: datetime, chosen: Sequence[tuple[Unit, bool]]) -> list[Stretch]:
    if first is not None and first >= last:
        return []
    (unit, fits), *finer = chosen
    if not finer:
        return [Stretch(unit, first, last)]
    begin, end = first if first is None else _ceil(first, unit), _floor(last, unit)
    if begin is not None and begin >= end:
        return _cells(first, last, finer)
    whole = (
        [Stretch(unit, begin, end)]
        if fits
        else [Stretch(unit, begin, end, True), Stretch("quarter", begin, end, False)]
    )
    before = [] if begin is None else _cells(first, begin, finer)
    return [*before, *whole, *_cells(end, last, finer)]


def _floor(instant: datetime, unit: Unit) -> datetime:
    day = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "quarter":
        return day + (instant - day) // QUARTER * QUARTER
    return day.replace(day=1) if unit == "month" else day


def _ceil(instant: datetime, unit: Unit) -> datetime:
    floor = _floor(instant, unit)
    if floor == instant:
        return floor
    step = {"quarter": QUARTER, "day": timedelta(days=1), "month": timedelta(days=32)}[unit]
    return _floor(floor + step, unit)
