"""The view `lab.usage_log` as SQLAlchemy sees it; `gateway/migrations/0001_usage_view.sql` makes and documents it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Double, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

_INSTANT = DateTime(timezone=True)

LOG = Table(
    "usage_log",
    MetaData(schema="lab"),
    Column("request_id", Text, nullable=False),
    Column("call_type", Text, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("completed_at", _INSTANT, nullable=False),
    Column("first_token_at", _INSTANT),
    Column("started_at_utc", DateTime, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text),
    Column("user_id", Text),
    Column("team_id", Text),
    Column("team_alias", Text),
    Column("key_alias", Text),
    Column("key_id", Text),
    Column("end_user", Text),
    Column("session_id", Text),
    Column("status", Text, nullable=False),
    Column("error_class", Text),
    Column("error_code", Text),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("total_tokens", Integer, nullable=False),
    Column("spend", Double, nullable=False),
    Column("cache_hit", Boolean, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("is_smoke", Boolean, nullable=False),
)
"""One row per request."""
