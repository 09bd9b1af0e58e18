"""The roll-up's tables as SQLAlchemy sees them; `gateway/migrations/0003_usage_rollup.sql` makes and documents them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, Integer, Interval, MetaData, SmallInteger, Table
from sqlalchemy import Text as _Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = MetaData(schema="lab_usage")
_INSTANT = DateTime(timezone=True)


def _table(name: str, *columns: Column[Any]) -> Table:
    return Table(name, SCHEMA, *columns)


def _sums() -> list[Column[Any]]:
    tokens = ("prompt_tokens", "completion_tokens", "total_tokens")
    return [*(Column(name, BigInteger) for name in tokens), Column("spend", Double), Column("duration_s", Double)]


STATE = _table(
    "state",
    Column("refreshed_at", _INSTANT),
    Column("covered_from", DateTime),
    Column("covered_until", DateTime),
    Column("retention", Interval),
    Column("frozen_before", DateTime),
    Column("checked_at", _INSTANT),
    Column("repaired", Integer),
)


def _volume(name: str) -> Table:
    return _table(
        name,
        Column("bucket", DateTime),
        Column("model", _Text),
        Column("status", _Text),
        Column("cache_hit", Boolean),
        Column("is_smoke", Boolean),
        Column("requests", BigInteger),
        *_sums(),
        Column("generation_tokens", BigInteger),
        Column("generation_s", Double),
    )


def _distribution(name: str) -> Table:
    return _table(
        name,
        Column("bucket", DateTime),
        Column("model", _Text),
        Column("measure", _Text),
        Column("is_smoke", Boolean),
        Column("requests", BigInteger),
        Column("total", Double),
        Column("largest", Double),
        Column("bins", ARRAY(SmallInteger)),
        Column("counts", ARRAY(Integer)),
    )


def _cells(name: str) -> Table:
    counts = (Column("requests", Integer), Column("cache_hits", Integer))
    return _table(name, Column("bucket", DateTime), Column("series", Integer), *counts, *_sums())


QUARTER = _table("quarter", Column("bucket", DateTime), Column("requests", Integer))
VOLUME = {"day": _volume("volume_day"), "quarter": _volume("volume")}
DISTRIBUTION = {
    "month": _distribution("distribution_month"),
    "day": _distribution("distribution_day"),
    "quarter": _distribution("distribution"),
}
PEOPLE = {"day": _cells("people_day"), "quarter": _cells("people")}
TAGS = {"day": _cells("tags_day"), "quarter": _cells("tags")}
FAILURES = _table(
    "failures",
    Column("bucket", DateTime),
    Column("series", Integer),
    Column("error_class", _Text),
    Column("error_code", _Text),
    Column("requests", Integer),
    Column("last_at", DateTime),
)


def _series(name: str, *names: str) -> Table:
    attributes = [Column(each, _Text) for each in ("model", "status", *names)]
    return _table(name, Column("id", Integer), Column("is_smoke", Boolean), *attributes)


PEOPLE_SERIES = _series("people_series", "key_id", "user_id", "team_id")
TAG_SERIES = _series("tag_series", "tag")
KEY_NAMES = _table("key_names", Column("key_id", _Text), Column("key_alias", _Text))
TEAM_NAMES = _table("team_names", Column("team_id", _Text), Column("team_alias", _Text))
PROMPTS = _table("prompts", Column("request_id", _Text), Column("messages", JSONB), Column("response", JSONB))
BUDGETS = _table(
    "budgets",
    *(Column(name, _Text) for name in ("kind", "key_id", "key_alias", "user_id", "team")),
    Column("spend", Double),
    Column("max_budget", Double),
    Column("budget_duration", _Text),
    Column("reset_at", _INSTANT),
)
KEYS = _table(
    "keys",
    *(Column(name, _Text) for name in ("key_id", "key_alias", "user_id", "team")),
    Column("blocked", Boolean),
    Column("last_active", _INSTANT),
    Column("spend", Double),
    Column("max_budget", Double),
    Column("budget_duration", _Text),
    Column("reset_at", _INSTANT),
)
