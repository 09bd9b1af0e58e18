"""How far the roll-up is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import Engine, func, select

from litellm_hub.usage.connection import reading
from litellm_hub.usage.rollup import STATE

STALE_AFTER = timedelta(minutes=15)
"""Age of the last refresh after which the roll-up counts as stale: its service refreshes every minute."""


@dataclass(frozen=True)
class Freshness:
    """How far the roll-up is.

    Attributes:
        state: "fresh"; "stale", when the last refresh is more than 15 minutes ago: answers are still exact for what
            was in the log then and for all that began since, but slower; "building", while the past is being added up
            for the first time: what is missing is read from the log; "missing", when nothing was added up yet; "own",
            where the login is a person's and sees the person's own requests alone, in the log.
        refreshed_at: When the roll-up was refreshed last.
        checked_at: When it was last compared with the log, which is done every night.
        repaired: Quarter hours that differed then, and were repaired.
        covered_from: It holds all requests from here; None for all of the past.
        covered_until: Up to here; later ones are read from the log.
        frozen_before: Older requests were removed from the log for their age: the roll-up alone knows them.
    """

    state: Literal["fresh", "stale", "building", "missing", "own"]
    refreshed_at: datetime | None
    checked_at: datetime | None
    repaired: int
    covered_from: datetime | None
    covered_until: datetime | None
    frozen_before: datetime | None


def freshness(engine: Engine) -> Freshness:
    """Tell how far the roll-up is.

    Args:
        engine: What `connect` returned.

    Returns:
        All instants in UTC.

    Raises:
        UsageError: The log cannot be read.
    """
    moments = [
        func.nullif(column, "-infinity", type_=column.type)
        for column in (STATE.c.covered_from, STATE.c.covered_until, STATE.c.frozen_before)
    ]
    columns = (STATE.c.refreshed_at, STATE.c.checked_at, STATE.c.repaired, func.clock_timestamp())
    with reading(engine) as connection:
        row = connection.execute(select(*columns, *moments)).one_or_none()
    if row is None:
        return Freshness("own", None, None, 0, None, None, None)
    refreshed, checked, repaired, now, *moments_found = row
    begin, end, frozen = (moment and moment.replace(tzinfo=UTC) for moment in moments_found)
    if refreshed is None:
        state: Literal["fresh", "stale", "building", "missing"] = "missing"
    elif now - refreshed > STALE_AFTER:
        state = "stale"
    else:
        state = "fresh" if begin is None else "building"
    return Freshness(state, refreshed, checked, repaired, begin, end, frozen)
