"""The log and each tier of the roll-up behind the same names, so that one question reads them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Text,
    case,
    cast,
    func,
    lateral,
    literal,
    or_,
    select,
    true,
)

from litellm_hub.usage import rollup
from litellm_hub.usage.filters import UsageFilter
from litellm_hub.usage.log import LOG
from litellm_hub.usage.spans import Stretch, Unit

Tier = Literal["volume", "people", "tags", "failures", "log"]
COUNTS = ("requests", "failures", "cache_hits")
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
LEVELS: dict[Tier, tuple[Unit, ...]] = {
    "volume": ("day", "quarter"),
    "people": ("day", "quarter"),
    "tags": ("day", "quarter"),
    "failures": ("quarter",),
    "log": (),
}
_WHO = {"user", "key_alias", "key_id", "team"}


@dataclass(frozen=True)
class Source:
    """Rows to group and add up.

    Attributes:
        table: Where they come from.
        time: When they began, UTC without zone.
        columns: Attributes by the names that callers use, and `is_smoke`.
        sums: Measures to add up.
        conditions: What else has to hold.
        latest: When the latest of a row's requests started; only of failures and the log.
    """

    table: FromClause
    time: ColumnElement[Any]
    columns: Mapping[str, ColumnElement[Any]]
    sums: Mapping[str, ColumnElement[Any]]
    conditions: tuple[ColumnElement[bool], ...] = ()
    latest: ColumnElement[Any] | None = None


def tier_of(names: set[str]) -> Tier:
    """Choose the smallest tier that knows these attributes; the log knows all."""
    if "tag" in names:
        return "log" if names & _WHO else "tags"
    return "people" if names & _WHO else "volume"


def source(tier: Tier, stretch: Stretch, where: UsageFilter, names: set[str]) -> Source:
    """Open a tier, or the log, for one stretch of time.

    Args:
        tier: Which of them.
        stretch: Which of its levels.
        where: Requests that count.
        names: Attributes that the caller groups by.

    Returns:
        Rows whose time and attributes still have to be compared with `stretch` and `where`; the team is compared.
    """
    if stretch.unit == "log":
        return _log(names | where.names, where)
    if tier == "volume":
        return _volume(rollup.VOLUME[stretch.unit])
    if tier == "tags":
        cells, series = rollup.TAGS[stretch.unit], rollup.TAG_SERIES
        return _cells(cells, series, series.join(cells, cells.c.series == series.c.id), {"tag": series.c.tag})
    return _people(rollup.PEOPLE[stretch.unit] if tier == "people" else rollup.FAILURES, where, names)


def _log(names: set[str], where: UsageFilter) -> Source:
    columns: dict[str, ColumnElement[Any]] = {
        "model": LOG.c.model,
        "status": LOG.c.status,
        "user": LOG.c.user_id,
        "key_alias": LOG.c.key_alias,
        "key_id": LOG.c.key_id,
        "team": func.coalesce(LOG.c.team_alias, LOG.c.team_id, type_=Text()),
        "error_class": LOG.c.error_class,
        "error_code": LOG.c.error_code,
        "is_smoke": LOG.c.is_smoke,
    }
    table: FromClause = LOG
    if "tag" in names:
        tag = lateral(select(func.unnest(LOG.c.tags, type_=Text()).label("tag")).distinct())
        table, columns["tag"] = LOG.join(tag, true()), tag.c.tag
    duration = _seconds(LOG.c.completed_at - LOG.c.started_at)
    generation = _seconds(LOG.c.completed_at - LOG.c.first_token_at)
    sums: dict[str, ColumnElement[Any]] = {
        "requests": literal(1, BigInteger),
        "failures": case((LOG.c.status == "failure", 1), else_=0),
        "cache_hits": case((LOG.c.cache_hit, 1), else_=0),
        **{name: cast(LOG.c[name], BigInteger) for name in TOKENS},
        "spend": LOG.c.spend,
        "duration_s": func.greatest(duration, 0, type_=Double()),
        "generation_tokens": case(
            (LOG.c.first_token_at.is_not(None), cast(LOG.c.completion_tokens, BigInteger)), else_=0
        ),
        "generation_s": func.coalesce(generation, 0, type_=Double()),
    }
    teams = () if where.team is None else (_team(where, LOG.c.team_alias, LOG.c.team_id),)
    return Source(table, LOG.c.started_at_utc, columns, sums, teams, LOG.c.started_at)


def _volume(cells: FromClause) -> Source:
    columns = {name: cells.c[name] for name in ("model", "status", "is_smoke")}
    sums: dict[str, ColumnElement[Any]] = {
        "requests": cells.c.requests,
        "failures": case((cells.c.status == "failure", cells.c.requests), else_=0),
        "cache_hits": case((cells.c.cache_hit, cells.c.requests), else_=0),
        **{name: cells.c[name] for name in (*TOKENS, "spend", "duration_s", "generation_tokens", "generation_s")},
    }
    return Source(cells, cells.c.bucket, columns, sums)


def _people(cells: Any, where: UsageFilter, names: set[str]) -> Source:
    series, keys, teams = rollup.PEOPLE_SERIES, rollup.KEY_NAMES, rollup.TEAM_NAMES
    table: FromClause = series.join(cells, cells.c.series == series.c.id)
    columns: dict[str, ColumnElement[Any]] = {
        "user": func.nullif(series.c.user_id, "", type_=Text()),
        "key_id": func.nullif(series.c.key_id, "", type_=Text()),
    }
    conditions: tuple[ColumnElement[bool], ...] = ()
    if "key_alias" in names | where.names:
        table, columns["key_alias"] = table.outerjoin(keys, keys.c.key_id == series.c.key_id), keys.c.key_alias
    if "team" in names | where.names:
        table = table.outerjoin(teams, teams.c.team_id == series.c.team_id)
        columns["team"] = func.coalesce(teams.c.team_alias, func.nullif(series.c.team_id, ""), type_=Text())
        conditions = () if where.team is None else (_team(where, teams.c.team_alias, series.c.team_id),)
    if cells is rollup.FAILURES:
        for name in ("error_class", "error_code"):
            columns[name] = func.nullif(cells.c[name], "", type_=Text())
    return _cells(cells, series, table, columns, conditions)


def _cells(
    cells: Any,
    series: Any,
    table: FromClause,
    columns: dict[str, ColumnElement[Any]],
    conditions: tuple[ColumnElement[bool], ...] = (),
) -> Source:
    known = {**columns, **{name: series.c[name] for name in ("model", "status", "is_smoke")}}
    sums: dict[str, ColumnElement[Any]] = {
        "requests": cells.c.requests,
        "failures": case((series.c.status == "failure", cells.c.requests), else_=0),
        **{name: cells.c[name] for name in ("cache_hits", *TOKENS, "spend", "duration_s") if name in cells.c},
    }
    latest = func.timezone("UTC", cells.c.last_at, type_=LOG.c.started_at.type) if "last_at" in cells.c else None
    return Source(table, cells.c.bucket, known, sums, conditions, latest)


def _team(where: UsageFilter, alias: ColumnElement[Any], identity: ColumnElement[Any]) -> ColumnElement[bool]:
    wanted = [where.team] if isinstance(where.team, str) else list(where.team or ())
    return or_(alias.in_(wanted), identity.in_(wanted))


def within(moment: ColumnElement[Any], stretch: Stretch) -> list[ColumnElement[bool]]:
    """Conditions that a row began in a stretch."""
    lower = [] if stretch.since is None else [moment >= stretch.since]
    return lower if stretch.until is None else [*lower, moment < stretch.until]


def _seconds(span: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.date_part("epoch", span, type_=Double())
