"""What keys have spent, in LiteLLM's tables: a new key goes on where the one before it was closed.

LiteLLM counts a budget by the key, and its Enterprise edition alone gives a key another text. So a new key begins as a
copy of the old one's row, with its limits and the days on which they begin anew, and takes over what was spent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import psycopg2

from litellm_hub.people.plan import token

OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c timezone=UTC"

# The gateway's writer changes both in one statement: nothing is counted meanwhile, so nothing is counted twice or lost.
LOCK = 'LOCK TABLE "LiteLLM_VerificationToken", "LiteLLM_BudgetWindowSpend" IN SHARE ROW EXCLUSIVE MODE'
COPY = """
INSERT INTO "LiteLLM_VerificationToken"
SELECT (jsonb_populate_record(old, jsonb_build_object('token', %(new)s, 'key_name', %(shown)s, 'blocked', NULL,
  'spend', 0, 'last_active', NULL, 'created_at', now() AT TIME ZONE 'UTC'))).*
FROM "LiteLLM_VerificationToken" AS old WHERE token = %(old)s"""
RENAME = """
UPDATE "LiteLLM_VerificationToken" SET key_alias = key_alias || ' (closed ' || left(token, 6) || ')'
WHERE token = %(old)s"""
MOVE = """
WITH spent AS (SELECT sum(spend) AS spend FROM "LiteLLM_VerificationToken" WHERE token = ANY(%(former)s)),
emptied AS (UPDATE "LiteLLM_VerificationToken" SET spend = 0 WHERE token = ANY(%(former)s) AND spend <> 0)
UPDATE "LiteLLM_VerificationToken" AS key SET spend = key.spend + spent.spend
FROM spent WHERE key.token = %(token)s AND spent.spend <> 0"""
# A shorter budget counts what the log holds of all these keys since it began, as LiteLLM reckons that.
WINDOWS = """
INSERT INTO "LiteLLM_BudgetWindowSpend" AS t (entity_type, entity_id, window_duration, window_start, spend, updated_at)
SELECT 'key', token, w.budget_duration, since, coalesce(sum(log.spend), 0), now()
FROM "LiteLLM_VerificationToken" AS key
CROSS JOIN jsonb_to_recordset(CASE jsonb_typeof(budget_limits) WHEN 'array' THEN budget_limits ELSE '[]' END)
  AS w (budget_duration text, reset_at timestamptz)
CROSS JOIN LATERAL (
  SELECT w.reset_at AT TIME ZONE 'UTC' - replace(w.budget_duration, 'mo', ' mons')::interval AS since
) AS begun
LEFT JOIN "LiteLLM_SpendLogs" AS log ON log.api_key = ANY(%(former)s || key.token) AND log."startTime" >= since
WHERE key.token = %(token)s
GROUP BY token, w.budget_duration, since
ON CONFLICT (entity_type, entity_id, window_duration) DO UPDATE SET updated_at = now(),
  spend = CASE WHEN t.window_start < EXCLUDED.window_start THEN EXCLUDED.spend
    WHEN t.window_start = EXCLUDED.window_start THEN greatest(t.spend, EXCLUDED.spend) ELSE t.spend END,
  window_start = greatest(t.window_start, EXCLUDED.window_start)"""
SPENT = """
SELECT entity_id, window_duration, spent.spend
FROM "LiteLLM_BudgetWindowSpend" AS spent JOIN "LiteLLM_VerificationToken" AS key
  ON entity_type = 'key' AND entity_id = token
CROSS JOIN jsonb_to_recordset(CASE jsonb_typeof(budget_limits) WHEN 'array' THEN budget_limits ELSE '[]' END)
  AS w (budget_duration text, reset_at timestamptz)
WHERE w.budget_duration = window_duration
  AND window_start >= w.reset_at AT TIME ZONE 'UTC' - replace(window_duration, 'mo', ' mons')::interval"""


class Spending:
    """LiteLLM's tables, as their owner.

    Args:
        url: Address of the database with its owner's name.
        password: The owner's password.

    Raises:
        psycopg2.Error: It does not answer. All methods raise that too; what they began is undone then.
    """

    def __init__(self, url: str, password: str) -> None:
        self._connection = psycopg2.connect(url, password=password, options=OPTIONS, connect_timeout=5)

    def copy(self, old: str, key: str) -> None:
        """Give a new key the row of a closed one, which goes by another name then.

        Args:
            old: What LiteLLM knows the closed key by.
            key: The new one's text.
        """
        values = {"old": old, "new": token(key), "shown": f"sk-...{key[-4:]}"}
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(COPY, values)
            cursor.execute(RENAME, values)

    def carry(self, former: Mapping[str, Collection[str]]) -> None:
        """Count what closed keys have spent with those that took their place, also what came in after they were closed.

        Args:
            former: Of each key that LiteLLM has, the closed ones before it, all as LiteLLM knows them.
        """
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(LOCK)
            for new, closed in former.items():
                values = {"token": new, "former": list(closed)}
                cursor.execute(MOVE, values)
                cursor.execute(WINDOWS, values)

    def windows(self) -> Mapping[tuple[str, Any], float]:
        """What was spent of the shorter budgets that run now, by key and duration."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(SPENT)
            return {(key, duration): float(spend) for key, duration, spend in cursor.fetchall()}
