"""Who: users, keys and teams with what they use, their sessions and budgets, and what fails for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pandas as pd
from sqlalchemy import BigInteger, ColumnElement, Double, Engine, Select, Subquery, cast, func, select

from litellm_hub.usage.connection import reading
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.frames import frame_of, read, valid_zone
from litellm_hub.usage.grouping import checked, gathered
from litellm_hub.usage.rollup import BUDGETS, KEYS
from litellm_hub.usage.sampling import newest
from litellm_hub.usage.tiers import COUNTS, TOKENS

Person = Literal["user", "key_alias", "team", "model"]
"""What a row of `people` stands for, or a combination of them."""


def people(
    engine: Engine, where: UsageFilter = EVERYTHING, *, by: Sequence[Person] = ("user",), limit: int = 50
) -> pd.DataFrame:
    """Rank users, keys or teams by the tokens they use.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        by: What a row stands for.
        limit: The most rows, 1 to 10,000.

    Returns:
        Most tokens first: the columns of `by` (str), `requests`, `failures`, `cache_hits`, `prompt_tokens`,
        `completion_tokens`, `total_tokens` (int64), `spend` (float64, US dollars), `share` (float64, 0 to 1: of the
        tokens of all requests that count, also those of rows beyond `limit`; missing where there are none).

    Raises:
        ValueError: `by` is empty or names something twice or unknown, or `limit` is out of range.
    """
    dimensions = checked(by, ("user", "key_alias", "team", "model"))
    if not dimensions:
        raise ValueError("by is empty: give a tuple of some of user, key_alias, team, model")
    if not 1 <= limit <= 10_000:
        raise ValueError(f"limit is {limit}: 1 to 10,000 rows can be listed")

    def ranked(part: Subquery, statement: Select[Any]) -> Select[Any]:
        tokens = func.sum(part.c.total_tokens)
        share = cast(tokens, Double) / func.nullif(cast(func.sum(tokens).over(), Double), 0)
        order = [cast(tokens, BigInteger).desc(), *(part.c[name] for name in dimensions)]
        return statement.add_columns(cast(share, Double).label("share")).order_by(None).order_by(*order).limit(limit)

    return gathered(engine, where, dimensions, (*COUNTS, *TOKENS, "spend"), tier="people", finish=ranked)


def error_taxonomy(engine: Engine, where: UsageFilter = EVERYTHING) -> pd.DataFrame:
    """Count failures by what went wrong.

    Args:
        engine: What `connect` returned.
        where: The requests that count.

    Returns:
        One row per kind of error and model, most frequent first: `error_class`, `error_code` (str; the code is an HTTP
        status or the runtime's own word), `model` (str), `requests` (int64), `share` (float64, of all failures that
        count), `last` (datetime64[us, UTC], when the latest of them started).
    """
    keys = ("error_class", "error_code", "model")
    frame = gathered(
        engine,
        replace(where, status="failure"),
        keys,
        ("requests",),
        tier="log" if where.tag else "failures",
        latest="last",
    )
    if where.status == "success":
        frame = frame.head(0)
    total = frame["requests"].sum()
    frame.insert(4, "share", (frame["requests"] / max(total, 1)).astype("float64"))
    return frame.sort_values(["requests", *keys], ascending=[False, True, True, True], ignore_index=True)


def sessions(engine: Engine, where: UsageFilter = EVERYTHING, *, limit: int = 100, tz: str = "UTC") -> pd.DataFrame:
    """List the latest sessions.

    A caller names a session; where it does not, LiteLLM makes one up for each request. Sessions are found among the
    newest 50,000 requests of the time span; one that began before them is shown with what lies among them.

    Args:
        engine: What `connect` returned.
        where: The requests that count.
        limit: The most sessions, 1 to 10,000.
        tz: Time zone of `first` and `last`.

    Returns:
        One row per session and key, the one with the latest request first: `session_id`, `user`, `key_alias` (str),
        `requests`, `failures`, `total_tokens` (int64), `spend` (float64, US dollars), `first`, `last`
        (datetime64[us, tz], when its first and last request started).

    Raises:
        ValueError: `limit` is out of range, or `tz` is no time zone.
    """
    if not 1 <= limit <= 10_000:
        raise ValueError(f"limit is {limit}: 1 to 10,000 sessions can be listed")
    zone = valid_zone(tz)
    with reading(engine) as connection:
        columns = ("session_id", "status", "total_tokens", "spend", "started_at")
        rows, _ = newest(connection, where, columns, names=("user", "key_alias"))
        return frame_of(connection, _by_session(rows.subquery("row"), limit), zone)


def _by_session(rows: Subquery, limit: int) -> Select[Any]:
    keys = [rows.c.session_id, rows.c.user, rows.c.key_alias]
    last = func.max(rows.c.started_at)
    return (
        select(
            *keys,
            func.count().label("requests"),
            func.count().filter(rows.c.status == "failure").label("failures"),
            cast(func.sum(rows.c.total_tokens), BigInteger).label("total_tokens"),
            func.sum(rows.c.spend).label("spend"),
            func.min(rows.c.started_at).label("first"),
            last.label("last"),
        )
        .where(rows.c.session_id.is_not(None))
        .group_by(*keys)
        .order_by(last.desc(), *keys)
        .limit(limit)
    )


def budgets(engine: Engine, *, days: int = 7, now: datetime | None = None) -> pd.DataFrame:
    """Tell how long budgets will last.

    Args:
        engine: What `connect` returned.
        days: The pace of spending is the mean of this many days up to now, 1 or more.
        now: End of these days; must carry a time zone. Default: this moment.

    Returns:
        One row per key, user and team that has a budget, the one that ends first above: `kind` ("key", "user" or
        "team"), `key_alias`, `user`, `team` (str), `spend` (float64, US dollars since the last reset, as the gateway
        counts it), `max_budget` (float64, US dollars), `budget_duration` (str, such as "30d"), `reset_at`
        (datetime64[us, UTC], when spending begins anew; missing for a budget without resets), `burn_per_day`
        (float64, US dollars), `days_left` (float64; 0 for a spent budget, missing where nothing was spent of late),
        `lasts` (bool, whether it reaches the reset at this pace; without a reset, whether nothing is being spent).

    Raises:
        ValueError: `days` is below 1, or `now` has no time zone.
    """
    if days < 1:
        raise ValueError(f"days is {days}: the pace is the mean of at least 1 day")
    moment = now or datetime.now(UTC)
    recent = UsageFilter(since=moment - timedelta(days=days), until=moment, include_smoke=True)
    burnt = gathered(engine, recent, ("key_id", "user", "team"), ("spend",), tier="people")
    columns: list[ColumnElement[Any]] = [BUDGETS.c[name] for name in ("kind", "key_id", "key_alias")]
    columns += [BUDGETS.c.user_id.label("user")]
    columns += [BUDGETS.c[name] for name in ("team", "spend", "max_budget", "budget_duration", "reset_at")]
    frame = read(engine, select(*columns).where(BUDGETS.c.max_budget.is_not(None)))
    pace = {
        kind: burnt.groupby(name)["spend"].sum() / days
        for kind, name in (("key", "key_id"), ("user", "user"), ("team", "team"))
    }
    owner = {"key": "key_id", "user": "user", "team": "team"}
    burn = [float(pace[row["kind"]].get(row[owner[row["kind"]]], 0.0)) for row in frame.to_dict("records")]
    frame["burn_per_day"] = pd.Series(burn, dtype="float64")
    left = (frame["max_budget"] - frame["spend"]).clip(lower=0)
    frame["days_left"] = (left / frame["burn_per_day"].where(frame["burn_per_day"] > 0)).mask(left == 0, 0.0)
    until_reset = (frame["reset_at"] - pd.Timestamp(moment).tz_convert("UTC")).dt.total_seconds() / 86_400
    frame["lasts"] = (left > 0) & (frame["days_left"].isna() | (frame["days_left"] >= until_reset))
    return frame.drop(columns="key_id").sort_values("days_left", ignore_index=True)


def keys(engine: Engine, *, tz: str = "UTC") -> pd.DataFrame:
    """List the keys with what is left of their budgets.

    Args:
        engine: What `connect` returned.
        tz: Time zone of `last_active` and `reset_at`.

    Returns:
        One row per budget of a key, and one for a key that has none, by team and user: `key_alias`, `user`, `team`
        (str), `blocked` (bool), `last_active` (datetime64[us, tz]), `spend` (float64, US dollars since the last reset,
        as the gateway counts it), `max_budget` (float64, US dollars; missing without a budget), `budget_duration` (str,
        such as "30d"), `reset_at` (datetime64[us, tz]), `left` (float64, US dollars).

    Raises:
        ValueError: `tz` is no time zone.
    """
    named = (*(KEYS.c[name] for name in ("key_id", "key_alias")), KEYS.c.user_id.label("user"))
    others = [column for column in KEYS.c if column.name not in ("key_id", "key_alias", "user_id")]
    order = (KEYS.c.team, KEYS.c.user_id, KEYS.c.key_alias, KEYS.c.key_id, KEYS.c.max_budget.desc())
    frame = read(engine, select(*named, *others).order_by(*order), valid_zone(tz))
    frame["left"] = (frame["max_budget"] - frame["spend"]).clip(lower=0)
    return frame.drop(columns="key_id")
