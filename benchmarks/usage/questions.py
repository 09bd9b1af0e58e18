"""The eight answers of a usage dashboard, from the library and from the log itself, and LiteLLM's own queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from litellm_hub import usage

LOG = '"LiteLLM_SpendLogs"'
# LiteLLM writes the end as the first token's time where nothing was streamed.
_STREAMED = '"completionStartTime" > "startTime" AND "completionStartTime" < "endTime" AND status = \'success\''

ANSWERS: dict[str, Callable[[Engine, usage.UsageFilter], Any]] = {
    "1 volume, tokens, spend per day and model": lambda log, where: usage.volume(log, where),
    "2 p50, p95, p99 of latency per model": lambda log, where: usage.latency(log, where),
    "3 hour of the week": lambda log, where: usage.hour_of_week(log, where),
    "4 top users": lambda log, where: usage.people(log, where, by=("user",), limit=20),
    "5 failures per day and model": lambda log, where: usage.volume(log, where, by=("model", "status")),
    "6 first token and tokens/s per model": lambda log, where: (
        usage.time_to_first_token(log, where),
        usage.tokens_per_second(log, where),
    ),
    "7 cache hits per day": lambda log, where: usage.cache_hits(log, where),
    "8 top keys of the teams": lambda log, where: usage.people(log, where, by=("team", "key_alias"), limit=50),
}

RAW = {
    "1 volume, tokens, spend per day and model": f"""
        SELECT date_trunc('day', "startTime"), model_group, count(*), sum(prompt_tokens),
            sum(completion_tokens), sum(spend)
        FROM {LOG} GROUP BY 1, 2""",
    "2 p50, p95, p99 of latency per model": f"""
        SELECT model_group, percentile_disc(ARRAY[.5, .95, .99]) WITHIN GROUP (ORDER BY request_duration_ms)
        FROM {LOG} WHERE status = 'success' AND cache_hit <> 'True' GROUP BY 1""",
    "3 hour of the week": f"""
        SELECT extract(isodow FROM "startTime"), extract(hour FROM "startTime"), count(*) FROM {LOG} GROUP BY 1, 2""",
    "4 top users": f"""
        SELECT "user", count(*), sum(total_tokens), sum(spend) FROM {LOG} GROUP BY 1 ORDER BY 3 DESC LIMIT 20""",
    "5 failures per day and model": f"""
        SELECT date_trunc('day', "startTime"), model_group, count(*), count(*) FILTER (WHERE status = 'failure')
        FROM {LOG} GROUP BY 1, 2""",
    "6 first token and tokens/s per model": f"""
        SELECT model_group, percentile_disc(ARRAY[.5, .95]) WITHIN GROUP (ORDER BY "completionStartTime" - "startTime"),
            percentile_cont(.5) WITHIN GROUP (
                ORDER BY (completion_tokens - 1) / extract(epoch FROM "endTime" - "completionStartTime")::float8)
        FROM {LOG} WHERE {_STREAMED} GROUP BY 1""",
    "7 cache hits per day": f"""
        SELECT date_trunc('day', "startTime"), count(*), count(*) FILTER (WHERE cache_hit = 'True')
        FROM {LOG} GROUP BY 1""",
    "8 top keys of the teams": f"""
        SELECT team_id, api_key, count(*), sum(spend), sum(total_tokens)
        FROM {LOG} GROUP BY 1, 2 ORDER BY 5 DESC LIMIT 50""",
}

_PAGE = """request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens, "startTime",
    "endTime", "completionStartTime", model, model_id, model_group, custom_llm_provider, api_base, "user", metadata,
    cache_hit, cache_key, request_tags, team_id, organization_id, end_user, requester_ip_address, session_id, status,
    mcp_namespaced_tool_name, agent_id, litellm_call_id, request_duration_ms"""
_SESSION = "COALESCE(NULLIF(session_id, ''), request_id)"
_CAPPED = 10_001


def litellm(since: datetime, until: datetime) -> dict[str, str]:
    """The statements behind LiteLLM 1.106.2's own usage pages, by endpoint, for a time span.

    Args:
        since: First instant.
        until: Last instant.

    Returns:
        SQL by name.
    """
    span = " AND ".join(
        f"\"startTime\" {sign} ('{moment.isoformat()}'::timestamptz AT TIME ZONE 'UTC')"
        for sign, moment in ((">=", since), ("<=", until))
    )
    return {
        "/global/activity": f"""
            SELECT date_trunc('day', "startTime") AS date, COUNT(*) AS api_requests, SUM(total_tokens) AS total_tokens
            FROM {LOG} WHERE {span} GROUP BY 1""",
        "/global/activity/model": f"""
            SELECT model_group, date_trunc('day', "startTime") AS date, COUNT(*), SUM(total_tokens)
            FROM {LOG} WHERE {span} GROUP BY model_group, 2""",
        "/global/spend/report by key": f"""
            WITH s AS (
                SELECT sl.api_key, sl.model, SUM(sl.spend) AS model_cost, SUM(sl.prompt_tokens) AS i,
                    SUM(sl.completion_tokens) AS o
                FROM {LOG} sl WHERE {span} GROUP BY sl.api_key, sl.model)
            SELECT api_key, SUM(model_cost) AS total_cost, SUM(i), SUM(o), jsonb_agg(jsonb_build_object('model', model,
                'total_cost', model_cost, 'total_input_tokens', i, 'total_output_tokens', o))
            FROM s GROUP BY api_key ORDER BY total_cost DESC""",
        "/global/spend/report by customer": f"""
            WITH s AS (
                SELECT date_trunc('day', sl."startTime") AS d, sl.end_user AS customer, sl.model, sl.api_key,
                    SUM(sl.spend) AS sp, SUM(sl.total_tokens) AS tk
                FROM {LOG} sl WHERE {span} GROUP BY 1, customer, sl.model, sl.api_key)
            SELECT d,
                jsonb_agg(jsonb_build_object('customer', customer, 'total_spend', total_spend, 'metadata', metadata))
            FROM (
                SELECT d, customer, SUM(sp) AS total_spend, jsonb_agg(jsonb_build_object('model', model,
                    'api_key', api_key, 'spend', sp, 'total_tokens', tk)) AS metadata
                FROM s GROUP BY d, customer) AS aggregated
            GROUP BY d ORDER BY d""",
        "DailyTagSpend": f"""
            SELECT jsonb_array_elements_text(request_tags) AS t, DATE(s."startTime") AS d, COUNT(*), SUM(spend)
            FROM {LOG} s WHERE {span} GROUP BY 1, 2""",
        "/spend/logs/ui count": f"SELECT COUNT(*) FROM (SELECT 1 FROM {LOG} WHERE {span} LIMIT {_CAPPED}) AS b",
        "/spend/logs/ui page 1": f"""
            SELECT {_PAGE} FROM {LOG} WHERE {span} ORDER BY "startTime" DESC LIMIT 50 OFFSET 0""",
        "/spend/logs/ui sessions": f"""
            SELECT {_SESSION} AS session_key, api_key, MAX("startTime")::text AS last_activity
            FROM {LOG} WHERE {span} GROUP BY {_SESSION}, api_key
            ORDER BY MAX("startTime") DESC, {_SESSION} DESC, api_key DESC LIMIT 51""",
    }
