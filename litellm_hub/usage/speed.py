"""How fast: percentiles of duration, time to first token and tokens per second.

Only successful answers count, and none that the gateway's cache gave: refusals and cached answers take milliseconds and
would hide what models need. Times are the gateway's: without the way from and to the caller.

Tokens per second are what `litellm_hub.client.figures.generated` says: tokens after the first, in the time after it.

The median is the mean of the two in the middle where there are two; further percentiles are nearest-rank (the value
that a share of the requests does not exceed). Those by model come from histograms with logarithmic bins, and are off by
at most 1/101 of the value (DDSketch: C. Masson, J. E. Rim, H. K. Lee, PVLDB 12 (2019) 2195,
https://doi.org/10.14778/3352063.3352135). The roll-up keeps none for each key, user, team and tag: filtered or grouped
by these, percentiles are exact, but only among the newest 50,000 requests of the time span, whoever sent them;
`looked_at_since` says from when that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Engine,
    Integer,
    Select,
    SmallInteger,
    Subquery,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    not_,
    null,
    select,
    union_all,
)

from litellm_hub.usage.connection import reading
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.frames import frame_of, valid_zone
from litellm_hub.usage.grouping import INSTANT, bucket, checked, checked_grain, fits
from litellm_hub.usage.log import LOG
from litellm_hub.usage.rollup import DISTRIBUTION
from litellm_hub.usage.sampling import newest
from litellm_hub.usage.spans import Grain, Stretch, coverage, levels, stretches
from litellm_hub.usage.tiers import within

SpeedDimension = Literal["model", "user", "key_alias", "team"]
"""What a row stands for, or a combination of them."""
RANKS = (50, 90, 95, 99)
_GAMMA = 1.02
_NOTHING = -32768  # bin of 0 and less
_Measure = Literal["duration", "first_token", "generation", "speed"]


def latency(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    by: Sequence[SpeedDimension] = ("model",),
    grain: Grain | None = None,
    tz: str = "UTC",
) -> pd.DataFrame:
    """Measure how long answers took, from the request's start to the answer's end.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for; may be empty.
        grain: Length of the buckets of time; None for all of it in one.
        tz: Time zone of the buckets and of `looked_at_since`.

    Returns:
        One row per combination with at least one such answer, in order: `time` (datetime64[us, tz], only with a grain),
        the columns of `by` (str), `requests` (int64), `p50`, `p90`, `p95`, `p99`, `mean`, `max` (float64, seconds; mean
        and max are exact), `looked_at_since` (datetime64[us, tz]; missing where all requests counted). `attrs["unit"]`
        says what is measured.

    Raises:
        ValueError: `tz` is no time zone, `grain` no length, or `by` names something twice or unknown.
    """
    return _percentiles(engine, "duration", where, by, grain, tz)


def time_to_first_token(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    by: Sequence[SpeedDimension] = ("model",),
    grain: Grain | None = None,
    tz: str = "UTC",
) -> pd.DataFrame:
    """Measure how long the first piece of streamed answers took; answers in one piece do not count.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for; may be empty.
        grain: Length of the buckets of time; None for all of it in one.
        tz: Time zone of the buckets and of `looked_at_since`.

    Returns:
        As `latency`, in seconds from the request's start to the first piece.

    Raises:
        ValueError: As `latency`.
    """
    return _percentiles(engine, "first_token", where, by, grain, tz)


def tokens_per_second(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    by: Sequence[SpeedDimension] = ("model",),
    grain: Grain | None = None,
    tz: str = "UTC",
) -> pd.DataFrame:
    """Measure how fast answers came once their first token was there, as the chat panel does.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for; may be empty.
        grain: Length of the buckets of time; None for all of it in one.
        tz: Time zone of the buckets and of `looked_at_since`.

    Returns:
        As `latency`, in tokens per second. Answers in one piece and those of a single token have no speed.

    Raises:
        ValueError: As `latency`.
    """
    return _percentiles(engine, "generation", where, by, grain, tz)


def overall_tokens_per_second(
    engine: Engine,
    where: UsageFilter = EVERYTHING,
    *,
    by: Sequence[SpeedDimension] = ("model",),
    grain: Grain | None = None,
    tz: str = "UTC",
) -> pd.DataFrame:
    """Measure how many tokens of the answer came per second of its whole duration, waiting included.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for; may be empty.
        grain: Length of the buckets of time; None for all of it in one.
        tz: Time zone of the buckets and of `looked_at_since`.

    Returns:
        As `latency`, in tokens per second. An answer without tokens and one that took no time have no speed.

    Raises:
        ValueError: As `latency`.
    """
    return _percentiles(engine, "speed", where, by, grain, tz)


def _percentiles(
    engine: Engine, measure: _Measure, where: UsageFilter, by: Sequence[str], grain: Grain | None, tz: str
) -> pd.DataFrame:
    dimensions, zone = checked(by, ("model", "user", "key_alias", "team")), valid_zone(tz)
    checked_grain(grain)
    by_model = set(dimensions) <= {"model"} and where.names <= {"model", "status"}
    frame = (_binned if by_model else _sampled)(engine, measure, where, dimensions, grain, zone)
    frame.attrs["unit"] = "tokens/s" if measure in ("generation", "speed") else "s"
    return frame


def _value(measure: _Measure, rows: Any) -> ColumnElement[Any]:
    """A measure of rows of the log."""

    def seconds(end: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.date_part("epoch", end - rows.started_at, type_=Double())

    duration: ColumnElement[Any] = func.greatest(seconds(rows.completed_at), 0, type_=Double())
    if measure == "speed":
        return func.nullif(rows.completion_tokens, 0) / func.nullif(duration, 0, type_=Double())
    if measure == "generation":
        after_first = seconds(rows.completed_at) - seconds(rows.first_token_at)
        return case((rows.completion_tokens > 1, (rows.completion_tokens - 1) / func.nullif(after_first, 0.0)))
    return duration if measure == "duration" else seconds(rows.first_token_at)


# By model: histograms -----------------------------------------------------------------------------------------------


def _binned(
    engine: Engine, measure: _Measure, where: UsageFilter, dimensions: Sequence[str], grain: Grain | None, zone: str
) -> pd.DataFrame:
    names = (*(["time"] if grain else []), *dimensions)
    with reading(engine) as connection:
        chosen = levels(("month", "day", "quarter"), grain, zone)
        pieces = stretches(coverage(connection), where.since_utc, where.until_utc, chosen)
        parts = [_bins(measure, piece, where, dimensions, grain, zone) for piece in pieces]
        part = union_all(*parts).subquery("part")
        keys = [part.c[name] for name in names]
        count, bin_ = cast(func.sum(part.c.n), BigInteger), part.c.bin
        sums = [func.sum(part.c.total).label("total"), func.max(part.c.largest).label("largest")]
        binned = select(*keys, bin_, count.label("n"), *sums).group_by(*keys, bin_).subquery("binned")
        keys = [binned.c[name] for name in names]
        running = func.sum(binned.c.n).over(partition_by=keys, order_by=binned.c.bin)
        everything = func.sum(binned.c.n).over(partition_by=keys)
        ranked = select(binned, running.label("up_to"), everything.label("everything")).subquery("ranked")
        keys = [ranked.c[name] for name in names]
        everyone = ranked.c.everything
        places: dict[str, ColumnElement[Any]] = {
            f"p{rank}": func.ceil(everyone * literal_column(f"{rank} / 100.0")) for rank in RANKS
        }
        places["above"] = func.floor(everyone / literal_column("2.0")) + 1  # the other one in the middle
        statement: Select[Any] = select(
            *keys,
            cast(func.sum(ranked.c.n), BigInteger).label("requests"),
            *(_place(ranked, place).label(name) for name, place in places.items()),
            (func.sum(ranked.c.total) / cast(func.sum(ranked.c.n), Double)).label("mean"),
            cast(func.max(ranked.c.largest), Double).label("max"),
            cast(null(), INSTANT).label("looked_at_since"),
        )
        statement = statement.group_by(*keys).order_by(*keys) if keys else statement.having(func.count() > 0)
        frame = frame_of(connection, statement, zone)
    for name in places:
        bins = frame[name].to_numpy(dtype="float64")
        values = np.where(bins == _NOTHING, 0.0, 2 * np.power(_GAMMA, bins) / (_GAMMA + 1))
        frame[name] = np.minimum(values, frame["max"].to_numpy())
    frame["p50"] = (frame["p50"] + frame["above"]) / 2
    return frame.drop(columns="above")


def _place(ranked: Any, place: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.min(ranked.c.bin).filter(ranked.c.up_to >= place)


def _bins(
    measure: _Measure, piece: Stretch, where: UsageFilter, dimensions: Sequence[str], grain: Grain | None, zone: str
) -> Select[Any]:
    """Rows of (time, model), bin, how many answers fell into it, the sum of the measure and the largest of it."""
    if piece.unit == "log":
        rows: Any = LOG.c
        moment, table, value = LOG.c.started_at_utc, LOG, _value(measure, rows)
        cells: list[ColumnElement[Any]] = [
            func.lab_usage.bin_of(value, type_=SmallInteger()).label("bin"),
            literal(1, Integer).label("n"),
            value.label("total"),
            value.label("largest"),
        ]
        conditions = [LOG.c.status == "success", not_(LOG.c.cache_hit), value.is_not(None)]
    else:
        stored = DISTRIBUTION[piece.unit]
        rows, moment = stored.c, stored.c.bucket
        pair = (
            func.unnest(stored.c.bins, stored.c.counts)
            .table_valued(column("bin", SmallInteger), column("n", Integer), with_ordinality="place")
            .render_derived("pair")
        )
        table = stored.join(pair, literal(True))  # type: ignore[assignment]
        first = pair.c.place == 1
        cells = [pair.c.bin, pair.c.n, case((first, stored.c.total), else_=0.0).label("total"), stored.c.largest]
        conditions = [stored.c.measure == measure]
        if where.status == "failure":
            conditions.append(literal(False))
    keys = [bucket(moment, grain, zone).label("time")] if grain else []
    keys += [rows[name] for name in dimensions]
    columns = {
        "model": rows.model,
        "is_smoke": rows.is_smoke,
        **({"status": rows.status} if piece.unit == "log" else {}),
    }
    conditions += [
        *within(moment, piece),
        *where.conditions_on(columns),
        *(fits(moment, piece, grain, zone) if grain else []),
    ]
    return select(*keys, *cells).select_from(table).where(and_(*conditions))


# By key, user and team: the newest requests ---------------------------------------------------------------------------


def _sampled(
    engine: Engine, measure: _Measure, where: UsageFilter, dimensions: Sequence[str], grain: Grain | None, zone: str
) -> pd.DataFrame:
    needed = (
        "started_at",
        "started_at_utc",
        "completed_at",
        "first_token_at",
        "completion_tokens",
        "status",
        "cache_hit",
    )
    names = (*(["time"] if grain else []), *dimensions)
    with reading(engine) as connection:
        chosen, since = newest(connection, where, needed, names=dimensions)
        rows = chosen.subquery("row")
        value = _value(measure, rows.c)
        keys: list[ColumnElement[Any]] = [bucket(rows.c.started_at_utc, grain, zone).label("time")] if grain else []
        keys += [rows.c[name] for name in dimensions]
        answered = and_(rows.c.status == "success", not_(rows.c.cache_hit), value.is_not(None))
        measured = select(*keys, value.label("value")).where(answered).subquery("measured")
        statement = _exact(measured, names)
        frame = frame_of(connection, statement, zone)
    moment = pd.NaT if since is None else pd.Timestamp(since, tz="UTC").tz_convert(zone)
    frame["looked_at_since"] = pd.Series(moment, index=frame.index, dtype=f"datetime64[us, {zone}]")
    return frame


def _exact(measured: Subquery, names: Sequence[str]) -> Select[Any]:
    keys = [measured.c[name] for name in names]
    statement: Select[Any] = select(
        *keys,
        func.count().label("requests"),
        *(
            cast(percentile(literal_column(str(rank / 100))).within_group(measured.c.value), Double).label(f"p{rank}")
            for rank in RANKS
            for percentile in (func.percentile_cont if rank == 50 else func.percentile_disc,)
        ),
        func.avg(measured.c.value, type_=Double()).label("mean"),
        func.max(measured.c.value).label("max"),
    )
    return statement.group_by(*keys).order_by(*keys) if keys else statement.having(func.count() > 0)
