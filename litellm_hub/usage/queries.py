"""The questions that the usage log answers, each one statement and one small frame.

Percentiles are PostgreSQL's `percentile_disc` (nearest rank): always a value that was measured, never one in between.
Hours are hours on the clock of a time zone; the hour that a change from summer time repeats stays two rows. Text that
the log lacks (a request without user, say) is a missing value. Without requests a frame is empty, with the same
columns and dtypes. Every function raises the subclasses of `UsageError` when the log cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import pandas as pd
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Double, Engine, Select, Text, any_, cast, func, not_, select
from sqlalchemy.sql.elements import Label

from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.frames import read, valid_zone
from litellm_hub.usage.log import LOG

Dimension = Literal["model", "hour", "user", "key_alias"]
"""What a row of a frame stands for: a model, an hour, an owner of keys, a key; or a combination of them."""

_SUCCESS = LOG.c.status == "success"
_FAILURE = LOG.c.status == "failure"


def requests_by_model(engine: Engine, where: UsageFilter = EVERYTHING) -> pd.DataFrame:
    """Count requests per model.

    Args:
        engine: What `connect` returned.
        where: The requests that count.

    Returns:
        One row per model, most requests first: `model` (str), `requests`, `failures`, `cache_hits` (int64) and
        `failure_rate` (float64, 0 to 1).
    """
    columns = [LOG.c.model, *_counts(), (cast(_count(_FAILURE), Double) / func.count()).label("failure_rate")]
    statement = _select(columns, where).group_by(LOG.c.model).order_by(func.count().desc(), LOG.c.model)
    return read(engine, statement)


def requests_by_hour(engine: Engine, where: UsageFilter = EVERYTHING, *, tz: str = "UTC") -> pd.DataFrame:
    """Count requests per hour and model.

    Args:
        engine: What `connect` returned.
        where: The requests that count, by the time they started.
        tz: Time zone of the hours, an IANA name such as "Europe/Berlin".

    Returns:
        One row per hour and model with at least one request, in order: `hour` (datetime64[us, tz], the hour's
        beginning), `model` (str), `requests`, `failures`, `cache_hits` (int64).

    Raises:
        ValueError: `tz` is no time zone.
    """
    return _grouped(engine, where, ("hour", "model"), tz, _counts())


def tokens(
    engine: Engine, where: UsageFilter = EVERYTHING, *, by: Sequence[Dimension] = ("model",), tz: str = "UTC"
) -> pd.DataFrame:
    """Add up tokens.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for.
        tz: Time zone of the hours.

    Returns:
        The columns of `by` (str; `hour` datetime64[us, tz]) in order, then `requests`, `prompt_tokens`,
        `completion_tokens`, `total_tokens` (int64). Failed requests count with what the log holds of them, which
        for a prompt that reached a runtime is its length. Answers from the gateway's cache count in full.

    Raises:
        ValueError: `tz` is no time zone, or `by` is empty or names something twice or unknown.
    """
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    sums = [cast(func.sum(LOG.c[name]), BigInteger).label(name) for name in names]
    return _grouped(engine, where, by, tz, [func.count().label("requests"), *sums])


def spend(
    engine: Engine, where: UsageFilter = EVERYTHING, *, by: Sequence[Dimension] = ("model",), tz: str = "UTC"
) -> pd.DataFrame:
    """Add up what requests cost.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for.
        tz: Time zone of the hours.

    Returns:
        The columns of `by` (str; `hour` datetime64[us, tz]) in order, then `requests` (int64) and `spend` (float64,
        US dollars).

    Raises:
        ValueError: `tz` is no time zone, or `by` is empty or names something twice or unknown.
    """
    return _grouped(engine, where, by, tz, [func.count().label("requests"), func.sum(LOG.c.spend).label("spend")])


def latency(
    engine: Engine, where: UsageFilter = EVERYTHING, *, by: Sequence[Dimension] = ("model",), tz: str = "UTC"
) -> pd.DataFrame:
    """Measure how long answers took.

    Only successful requests count, and none that the gateway's cache answered: refusals and cached answers take
    milliseconds and would hide what models need. Times are the gateway's: without the way from and to the caller.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for.
        tz: Time zone of the hours.

    Returns:
        The columns of `by` (str; `hour` datetime64[us, tz]) in order, then `requests` (int64); `duration_p50_s`,
        `duration_p95_s`, `duration_p99_s` (float64, seconds from start to end of the answer); `streamed` (int64, how
        many of the requests have a first token on record), `first_token_p50_s`, `first_token_p95_s`,
        `first_token_p99_s` (float64, seconds from start to the first piece of a streamed answer, missing where
        nothing was streamed); `tokens_per_s_p50` (float64, the median of tokens of the answer per second of its whole
        duration, waiting included; missing where no answer had tokens). Percentiles are nearest-rank.

    Raises:
        ValueError: `tz` is no time zone, or `by` is empty or names something twice or unknown.
    """
    duration = _seconds(LOG.c.completed_at)
    first_token = _seconds(LOG.c.first_token_at)
    # A duration of 0 ms (the clock's grain) and an answer without tokens have no speed.
    speed = _nonzero(LOG.c.completion_tokens) / _nonzero(duration)
    measures: list[ColumnElement[Any]] = [
        func.count().label("requests"),
        *(_percentile(duration, rank).label(f"duration_p{rank}_s") for rank in (50, 95, 99)),
        func.count(LOG.c.first_token_at).label("streamed"),
        *(_percentile(first_token, rank).label(f"first_token_p{rank}_s") for rank in (50, 95, 99)),
        _percentile(speed, 50).label("tokens_per_s_p50"),
    ]
    return _grouped(engine, where, by, tz, measures, _SUCCESS, not_(LOG.c.cache_hit))


def errors(engine: Engine, where: UsageFilter = EVERYTHING) -> pd.DataFrame:
    """Count failures by what went wrong.

    Args:
        engine: What `connect` returned.
        where: The requests that count.

    Returns:
        One row per model and kind of error, most frequent first: `model`, `error_class`, `error_code` (str; the code
        is an HTTP status or the runtime's own word), `failures` (int64), `last_at` (datetime64[us, UTC], when the
        latest of them started).
    """
    kind = [LOG.c.model, LOG.c.error_class, LOG.c.error_code]
    failures = func.count().label("failures")
    last_at = func.max(LOG.c.started_at).label("last_at")
    statement = _select([*kind, failures, last_at], where, _FAILURE).group_by(*kind)
    return read(engine, statement.order_by(failures.desc(), *kind))


def recent(engine: Engine, limit: int = 100, where: UsageFilter = EVERYTHING, *, tz: str = "UTC") -> pd.DataFrame:
    """List the latest requests.

    Args:
        engine: What `connect` returned.
        limit: Number of requests, 1 to 10,000.
        where: The requests that count.
        tz: Time zone of `started_at`.

    Returns:
        One row per request, the latest first: `started_at` (datetime64[us, tz]), `model`, `status`, `error_class`,
        `error_code`, `user_id`, `team_alias`, `key_alias`, `key_id`, `call_type` (str), `prompt_tokens`,
        `completion_tokens` (int64), `spend` (float64, US dollars), `duration_s`, `first_token_s` (float64, seconds;
        the latter missing unless streamed), `cache_hit` (bool), `tags` (object, lists of str), `request_id` (str).

    Raises:
        ValueError: `limit` is out of range, or `tz` is no time zone.
    """
    if not 1 <= limit <= 10_000:
        raise ValueError(f"limit is {limit}: 1 to 10,000 requests can be listed")
    newest_first = (LOG.c.started_at_utc.desc(), LOG.c.request_id.desc())
    # The ids come first, so that tags, names and errors are unpacked for the rows shown alone.
    ids = _select([LOG.c.request_id], where).order_by(*newest_first).limit(limit)
    names = ("started_at", "model", "status", "error_class", "error_code", "user_id", "team_alias", "key_alias")
    columns = [
        *(LOG.c[name] for name in names),
        *(LOG.c[name] for name in ("key_id", "call_type", "prompt_tokens", "completion_tokens", "spend")),
        _seconds(LOG.c.completed_at).label("duration_s"),
        _seconds(LOG.c.first_token_at).label("first_token_s"),
        *(LOG.c[name] for name in ("cache_hit", "tags", "request_id")),
    ]
    chosen = LOG.c.request_id == any_(func.array(ids.scalar_subquery(), type_=ARRAY(Text)))
    return read(engine, select(*columns).where(chosen).order_by(*newest_first), valid_zone(tz))


def _grouped(
    engine: Engine,
    where: UsageFilter,
    by: Sequence[Dimension],
    tz: str,
    measures: Sequence[ColumnElement[Any]],
    *conditions: ColumnElement[bool],
) -> pd.DataFrame:
    """Run one statement that has a row per combination of `by`, sorted by it."""
    zone = valid_zone(tz)
    dimensions = _dimensions(by, zone)
    statement = _select([*dimensions, *measures], where, *conditions)
    return read(engine, statement.group_by(*dimensions).order_by(*dimensions), zone)


def _dimensions(by: Sequence[Dimension], zone: str) -> list[ColumnElement[Any]]:
    known = get_args(Dimension)
    if isinstance(by, str) or not by or len(set(by)) != len(by) or not set(by) <= set(known):
        raise ValueError(f"by is {by!r}: give a tuple of some of {', '.join(known)}, each once")
    columns: dict[str, ColumnElement[Any]] = {
        "model": LOG.c.model,
        "hour": func.date_trunc("hour", LOG.c.started_at, zone, type_=LOG.c.started_at.type).label("hour"),
        "user": LOG.c.user_id.label("user"),
        "key_alias": LOG.c.key_alias,
    }
    return [columns[name] for name in by]


def _select(columns: Sequence[ColumnElement[Any]], where: UsageFilter, *conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*columns).where(*where.conditions(), *conditions)


def _counts() -> list[Label[int]]:
    return [
        func.count().label("requests"),
        _count(_FAILURE).label("failures"),
        _count(LOG.c.cache_hit).label("cache_hits"),
    ]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition)


def _seconds(instant: ColumnElement[Any]) -> ColumnElement[float]:
    """Return the seconds from the request's start to `instant`."""
    return cast(func.extract("epoch", instant - LOG.c.started_at), Double)


def _nonzero(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.nullif(value, 0), Double)


def _percentile(value: ColumnElement[Any], rank: int) -> ColumnElement[float]:
    return func.percentile_disc(rank / 100).within_group(value)
