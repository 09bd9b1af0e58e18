"""How much: requests, tokens and spend, over time, by who and what, and how many requests ran at once.

Counts and tokens are those of the log, exactly; spend to 9 significant digits. Text that the log lacks (a request
without user, say) is a missing value. Without requests a frame is empty, with the same columns and dtypes. Every
function raises the subclasses of `UsageError` when the log cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.frames import valid_zone
from litellm_hub.usage.grouping import checked, checked_grain, gathered, local_part
from litellm_hub.usage.spans import Grain
from litellm_hub.usage.tiers import COUNTS, TOKENS

Dimension = Literal["model", "status", "user", "key_alias", "team", "tag"]
"""What a row of a frame stands for, or a combination of them."""
DIMENSIONS: tuple[Dimension, ...] = ("model", "status", "user", "key_alias", "team", "tag")
_SUMS = (*COUNTS, *TOKENS, "spend")


def volume(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    by: Sequence[Dimension] = ("model",),
    grain: Grain = "day",
    tz: str = "UTC",
) -> pd.DataFrame:
    """Add up requests, tokens and spend over time.

    Args:
        engine: What `connect` returned.
        where: The requests that count, by the time they started.
        by: What a row stands for besides a bucket of time; may be empty. A request counts once for each of its tags.
        grain: Length of the buckets.
        tz: Time zone of the buckets, an IANA name such as "Europe/Berlin". Days are days there, be they 23 or 25 hours
            long, and the hour that a change from summer time repeats stays two rows.

    Returns:
        One row per bucket and combination with at least one request, in order: `time` (datetime64[us, tz], beginning
        of the bucket), the columns of `by` (str), `requests`, `failures`, `cache_hits`, `prompt_tokens`,
        `completion_tokens`, `total_tokens` (int64), `spend` (float64, US dollars). Failed requests count with the
        tokens that the log holds of them, answers from the gateway's cache in full.

    Raises:
        ValueError: `tz` is no time zone, `grain` no length, or `by` names something twice or unknown.
    """
    dimensions, zone = checked(by, DIMENSIONS), valid_zone(tz)
    return gathered(engine, where, dimensions, _SUMS, grain=checked_grain(grain), zone=zone)


def totals(engine: Engine, where: UsageFilter = EVERYTHING, *, by: Sequence[Dimension] = ("model",)) -> pd.DataFrame:
    """Add up requests, tokens and spend.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for; empty for one row.

    Returns:
        As `volume` without `time`, and `failure_rate` (float64, 0 to 1; missing without requests).

    Raises:
        ValueError: `by` names something twice or unknown.
    """
    frame = gathered(engine, where, checked(by, DIMENSIONS), _SUMS)
    return frame.assign(failure_rate=_ratio(frame["failures"], frame["requests"]))


def cache_hits(
    engine: Engine, where: UsageFilter = EVERYTHING, *, grain: Grain = "day", tz: str = "UTC"
) -> pd.DataFrame:
    """Count answers that the gateway's cache gave.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        grain: Length of the buckets.
        tz: Time zone of the buckets.

    Returns:
        One row per bucket with requests: `time` (datetime64[us, tz]), `requests`, `cache_hits` (int64), `hit_rate`
        (float64, 0 to 1).

    Raises:
        ValueError: `tz` is no time zone, or `grain` no length.
    """
    frame = gathered(engine, where, (), ("requests", "cache_hits"), grain=checked_grain(grain), zone=valid_zone(tz))
    return frame.assign(hit_rate=_ratio(frame["cache_hits"], frame["requests"]))


def hour_of_week(engine: Engine, where: UsageFilter = EVERYTHING, *, tz: str = "UTC") -> pd.DataFrame:
    """Add up requests by weekday and hour on the clock of a zone.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        tz: Time zone of the clock; zones off by half and three quarters of an hour are exact, too.

    Returns:
        One row per hour of the week with requests, in order: `weekday` (int64, 0 is Monday), `hour` (int64, 0 to 23),
        `requests`, `failures`, `cache_hits`, `total_tokens` (int64), `spend` (float64, US dollars).

    Raises:
        ValueError: `tz` is no time zone.
    """
    zone = valid_zone(tz)
    clock = {"weekday": local_part("isodow", zone), "hour": local_part("hour", zone)}
    frame = gathered(engine, where, (), (*COUNTS, "total_tokens", "spend"), derived=clock)
    return frame.assign(weekday=frame["weekday"] - 1)


def concurrency(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    slots: int | None = None,
    grain: Grain = "hour",
    tz: str = "UTC",
) -> pd.DataFrame:
    """Estimate how many requests ran at once, and how many of them had to wait.

    Little's law, L = lambda W: the mean number of requests in a system is their rate of arrival times the mean time
    that each stays (J. D. C. Little, A Proof for the Queuing Formula: L = lambda W, Operations Research 9 (1961) 383,
    https://doi.org/10.1287/opre.9.3.383). A request counts in the bucket that it began in, so that buckets should be
    long beside the requests. What waits is not on record; but no more than `slots` can be served at once, so that
    on average at least the rest of L waited.

    Args:
        engine: What `connect` returned.
        where: The requests that count; those of one model for `slots` to mean something.
        slots: Requests that the runtime serves at once, 1 or more.
        grain: Length of the buckets.
        tz: Time zone of the buckets.

    Returns:
        One row per bucket with requests: `time` (datetime64[us, tz]), `requests` (int64), `arrivals_per_s`,
        `mean_duration_s`, `mean_concurrency` (float64), `utilisation` (float64, mean_concurrency per slot; above 1
        requests certainly waited) and `queued_at_least` (float64, requests), the latter two missing without `slots`.
        The bucket that has not ended counts up to now, the first and last of a range within the range.

    Raises:
        ValueError: `tz` is no time zone, `grain` no length, or `slots` below 1.
    """
    if slots is not None and slots < 1:
        raise ValueError(f"slots is {slots}: a runtime serves at least 1 request at once")
    zone = valid_zone(tz)
    frame = gathered(engine, where, (), ("requests", "duration_s"), grain=checked_grain(grain), zone=zone)
    seconds = _lengths(frame["time"], where, grain)
    load = frame["duration_s"] / seconds
    frame["arrivals_per_s"] = frame["requests"] / seconds
    frame["mean_duration_s"] = _ratio(frame["duration_s"], frame["requests"])
    frame["mean_concurrency"] = load
    frame["utilisation"] = load / slots if slots else np.nan
    frame["queued_at_least"] = (load - slots).clip(lower=0) if slots else np.nan
    return frame.drop(columns="duration_s")


def _lengths(begin: pd.Series, where: UsageFilter, grain: Grain) -> pd.Series:
    """Seconds of each bucket that can have seen requests."""
    steps: dict[Grain, pd.DateOffset | pd.Timedelta] = {
        "quarter": pd.Timedelta(minutes=15),
        "hour": pd.Timedelta(hours=1),
        "day": pd.DateOffset(days=1),
        "week": pd.DateOffset(weeks=1),
        "month": pd.DateOffset(months=1),
    }
    zone = begin.dt.tz
    limits = [pd.Timestamp(where.until).tz_convert(zone)] if where.until else []
    # Rows may carry the time of a clock that was ahead: then the bucket counts whole.
    now = pd.Timestamp.now(tz=zone)
    end = begin + steps[grain]
    end = end.where((end <= now) | (begin >= now), now)
    for limit in limits:
        end = end.where(end <= limit, limit)
    if where.since:
        since = pd.Timestamp(where.since).tz_convert(zone)
        begin = begin.where(begin >= since, since)
    return (end - begin).dt.total_seconds().clip(lower=1e-3)


def _ratio(part: pd.Series, whole: pd.Series) -> pd.Series:
    return (part / whole.where(whole != 0)).astype("float64")
