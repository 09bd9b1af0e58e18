"""The SQL that applies usage entries: ledger, log, spend of all who pay, budget windows and LiteLLM's daily tables.

It is built for the tables and columns that the database has, so another version of LiteLLM needs no change here as long
as the names below stay. Parameters: `entries` (a JSON array, see `rows.py`, each with its `segment`) and `journal`.
"""

from collections.abc import Iterator, Mapping, Set

Tables = Mapping[str, Set[str]]

COLUMNS = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1
"""
_ENTRIES = """WITH entry AS MATERIALIZED (
  SELECT * FROM ROWS FROM (
    jsonb_to_recordset(%(entries)s::jsonb)
      AS (id uuid, segment text, row jsonb, endpoint text, project text, windows jsonb)
  ) WITH ORDINALITY AS entry (entry_id, segment, entry_row, entry_endpoint, entry_project, entry_windows, place)
), claimed AS (
  INSERT INTO lab.spend_journal (entry_id, journal_id, segment)
  SELECT entry_id, %(journal)s::uuid, segment FROM entry ON CONFLICT (entry_id) DO NOTHING RETURNING entry_id
), fresh AS MATERIALIZED (
  SELECT entry.*, r.*, row_number() OVER (PARTITION BY r.request_id ORDER BY place) AS nth
  FROM entry JOIN claimed USING (entry_id), jsonb_populate_record(NULL::"LiteLLM_SpendLogs", entry_row) AS r
)"""
# A caller, or a runtime that numbers its answers, can choose an id: one that is taken or empty gets the entry's own.
_LOG = """, written AS (
  INSERT INTO "LiteLLM_SpendLogs" (request_id, {columns})
  SELECT CASE WHEN coalesce(request_id, '') IN ('', 'None') THEN entry_id::text
              WHEN nth > 1 OR EXISTS (SELECT FROM "LiteLLM_SpendLogs" AS log WHERE log.request_id = fresh.request_id)
              THEN request_id || '~' || entry_id ELSE request_id END, {columns}
  FROM fresh
)"""
_SPEND = """, spend_{number} AS (
  UPDATE "{table}" AS t SET spend = coalesce(t.spend, 0) + s.cost{further}
  FROM (SELECT {keys}, sum(spend) AS cost FROM fresh {source} GROUP BY {numbers}) AS s WHERE {match}
)"""
_END_USERS = """, end_users AS (
  INSERT INTO "LiteLLM_EndUserTable" AS t (user_id, spend)
  SELECT end_user, sum(spend) FROM fresh WHERE end_user <> '' GROUP BY 1
  ON CONFLICT (user_id) DO UPDATE SET spend = t.spend + EXCLUDED.spend
)"""
_MEMBERS = """, members AS (
  INSERT INTO "LiteLLM_TeamMembership" AS t (user_id, team_id, spend, total_spend)
  SELECT "user", team_id, sum(spend), sum(spend) FROM fresh
  WHERE "user" <> '' AND EXISTS (
    SELECT FROM "LiteLLM_TeamTable" AS team WHERE team.team_id = fresh.team_id
      AND team.members_with_roles @> jsonb_build_array(jsonb_build_object('user_id', fresh."user"))
  ) GROUP BY 1, 2
  ON CONFLICT (user_id, team_id) DO UPDATE
    SET spend = t.spend + EXCLUDED.spend, total_spend = t.total_spend + EXCLUDED.total_spend
)"""
# A window without a row begins with what the log holds; one that has rolled on begins anew.
_WINDOWS = """, windows AS (
  INSERT INTO "LiteLLM_BudgetWindowSpend" AS t
    (entity_type, entity_id, window_duration, window_start, spend, updated_at)
  SELECT kind, of, duration, since, cost + CASE WHEN EXISTS (
      SELECT FROM "LiteLLM_BudgetWindowSpend" AS known
      WHERE known.entity_type = kind AND known.entity_id = of AND known.window_duration = duration
    ) THEN 0 ELSE (
      SELECT coalesce(sum(spend), 0) FROM "LiteLLM_SpendLogs"
      WHERE "startTime" >= since AND of = CASE kind WHEN 'key' THEN api_key ELSE team_id END
    ) END, now()
  FROM (
    SELECT kind, of, duration, max(since) AS since, sum(spend) AS cost
    FROM fresh, jsonb_to_recordset(entry_windows) AS w (kind text, of text, duration text, since timestamp)
    GROUP BY 1, 2, 3
  ) AS change
  ON CONFLICT (entity_type, entity_id, window_duration) DO UPDATE SET updated_at = now(),
    spend = CASE WHEN t.window_start >= EXCLUDED.window_start THEN t.spend + EXCLUDED.spend ELSE EXCLUDED.spend END,
    window_start = greatest(t.window_start, EXCLUDED.window_start)
)"""
_DAYS = """, days_{number} AS (
  INSERT INTO "{table}" AS t (id, {entity}, {day}, model_group, updated_at, {counts})
  SELECT gen_random_uuid(), {of}, to_char("startTime", 'YYYY-MM-DD'), coalesce(api_key, ''), coalesce(model, ''),
    coalesce(custom_llm_provider, ''), coalesce(mcp_namespaced_tool_name, ''), coalesce(entry_endpoint, ''),
    max(model_group), now(), {sums}
  FROM fresh {source} WHERE {when} GROUP BY 2, 3, 4, 5, 6, 7, 8
  ON CONFLICT ({entity}, {day}) DO UPDATE SET updated_at = now(), {additions}
)"""
_DAY = "date, api_key, model, custom_llm_provider, mcp_namespaced_tool_name, endpoint"
_USAGE = "(entry_row #>> '{{metadata,additional_usage_values,{name}}}')::bigint"
_COUNTS = {
    **{name: f"sum({name})" for name in ("prompt_tokens", "completion_tokens", "spend")},
    "api_requests": "count(*)",
    "successful_requests": "count(*) FILTER (WHERE status IS DISTINCT FROM 'failure')",
    "failed_requests": "count(*) FILTER (WHERE status = 'failure')",
    **{
        name: f"coalesce(sum({_USAGE.format(name=name)}), 0)"
        for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
    },
    "total_response_time_ms": "coalesce(sum(request_duration_ms) FILTER (WHERE status IS DISTINCT FROM 'failure'), 0)",
    "timed_requests": "count(request_duration_ms) FILTER (WHERE status IS DISTINCT FROM 'failure')",
}
_TAGS = "CROSS JOIN LATERAL (SELECT DISTINCT tag FROM jsonb_array_elements_text(request_tags) AS tag) AS tags"

# Who pays: table -> its columns and what of an entry is looked for in them.
_PAYERS: Mapping[str, Mapping[str, str]] = {
    "LiteLLM_VerificationToken": {"token": "api_key"},
    "LiteLLM_UserTable": {"user_id": '"user"'},
    "LiteLLM_TeamTable": {"team_id": "team_id"},
    "LiteLLM_OrganizationTable": {"organization_id": "organization_id"},
    "LiteLLM_OrganizationMembership": {"organization_id": "organization_id", "user_id": '"user"'},
    "LiteLLM_ProjectTable": {"project_id": "entry_project"},
    "LiteLLM_AgentsTable": {"agent_id": "agent_id"},
    "LiteLLM_TagTable": {"tag_name": "tag"},
}
_UPSERTS = {
    "LiteLLM_EndUserTable": _END_USERS,
    "LiteLLM_TeamMembership": _MEMBERS,
    "LiteLLM_BudgetWindowSpend": _WINDOWS,
}
# Daily table -> its own key column, what of an entry goes into it, and of which entries.
_DAILY = {
    "LiteLLM_DailyUserSpend": ("user_id", """coalesce("user", '')""", "true"),
    "LiteLLM_DailyTeamSpend": ("team_id", "team_id", "team_id <> ''"),
    "LiteLLM_DailyOrganizationSpend": ("organization_id", "organization_id", "organization_id <> ''"),
    "LiteLLM_DailyEndUserSpend": ("end_user_id", "end_user", "end_user <> ''"),
    "LiteLLM_DailyAgentSpend": ("agent_id", "agent_id", "agent_id <> ''"),
    "LiteLLM_DailyTagSpend": ("tag", "tag", "true"),
}


def applying(tables: Tables, row_columns: Set[str]) -> str:
    """Build the statement that applies entries; it returns how many were new.

    Args:
        tables: Columns of each table of the database.
        row_columns: Columns that entries may give a row of the log; those that the database lacks are left out.
    """
    columns = sorted((row_columns & tables["LiteLLM_SpendLogs"]) - {"request_id"})
    log = _LOG.format(columns=", ".join(f'"{name}"' for name in columns))
    upserts = [part for table, part in _UPSERTS.items() if table in tables]
    return "".join([_ENTRIES, log, *_spend(tables), *upserts, *_days(tables), "\nSELECT count(*) FROM fresh"])


def _spend(tables: Tables) -> Iterator[str]:
    for number, (table, match) in enumerate(_PAYERS.items()):
        if table in tables:
            yield _SPEND.format(
                number=number,
                table=table,
                further=", last_active = now()" if "last_active" in tables[table] else "",
                keys=", ".join(f"{value} AS {column}" for column, value in match.items()),
                source=_TAGS if "tag" in match.values() else "",
                numbers=", ".join(str(place) for place in range(1, len(match) + 1)),
                match=" AND ".join(f"t.{column} = s.{column}" for column in match),
            )


def _days(tables: Tables) -> Iterator[str]:
    for number, (table, (entity, of, when)) in enumerate(_DAILY.items()):
        if table in tables:
            counts = {name: value for name, value in _COUNTS.items() if name in tables[table]}
            yield _DAYS.format(
                number=number,
                table=table,
                entity=entity,
                of=of,
                when=when,
                day=_DAY,
                source=_TAGS if of == "tag" else "",
                counts=", ".join(counts),
                sums=", ".join(counts.values()),
                additions=", ".join(f"{name} = t.{name} + EXCLUDED.{name}" for name in counts),
            )
