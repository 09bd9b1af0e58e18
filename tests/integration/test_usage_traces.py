"""Traces become usage rows of a scratch database, and never of a log that somebody uses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from litellm_hub.usage import traces
from litellm_hub.usage.errors import LogNotReady, LogUnreachable, UsageError
from litellm_hub.usage.trace_formats import TraceUnreadable
from tests.support.usage_database import Database, make_database, make_full_database

FILES = Path(__file__).parents[1] / "unit/usage/traces"


@pytest.fixture(scope="module")
def scratch(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_database(scratch_postgres, gateway_env, "usage_traces")


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(database.owner)
    cursor = connection.cursor()
    cursor.execute(statement)
    found = cursor.fetchall()
    connection.close()
    return found


def test_a_trace_is_loaded_once_and_replaced_when_asked(scratch: Database) -> None:
    loaded = traces.load_trace(FILES / "azure.csv", scratch.owner)
    assert (loaded.name, loaded.requests) == ("azure", 60)
    assert loaded.first == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)
    sums = "SELECT count(*), sum(prompt_tokens), sum(completion_tokens) FROM lab.usage_log WHERE model = 'azure'"
    lines = [line.split(",") for line in (FILES / "azure.csv").read_text().splitlines()[1:]]
    expected = [(60, sum(int(line[1]) for line in lines), sum(int(line[2]) for line in lines))]
    assert rows(scratch, sums) == expected
    with pytest.raises(UsageError, match=r"loaded already.*--replace"):
        traces.load_trace(FILES / "azure.csv", scratch.owner)
    traces.load_trace(FILES / "azure.csv", scratch.owner, replace=True)
    assert rows(scratch, sums) == expected


def test_durations_are_the_trace_s_own_or_modelled_and_marked(scratch: Database) -> None:
    traces.load_trace(FILES / "burstgpt_elapsed.csv", scratch.owner, name="elapsed")
    traces.load_trace(FILES / "mooncake.jsonl", scratch.owner, name="modelled", speed=traces.Speed(1000, 100))
    taken = (
        "SELECT extract(epoch FROM completed_at - started_at)::float8, tags FROM lab.usage_log"
        " WHERE user_id = 'trace:{}' ORDER BY started_at_utc LIMIT 1"
    )
    assert rows(scratch, taken.format("elapsed")) == [(3.25, ["trace", "API log"])]
    assert rows(scratch, taken.format("modelled")) == [(11.758, ["trace", "modelled-duration"])]


def test_a_damaged_trace_leaves_nothing_behind(scratch: Database, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.csv"
    damaged.write_text((FILES / "azure.csv").read_text() + "2023-11-16 18:20:00,1,many\n")
    with pytest.raises(TraceUnreadable, match="line 62, column 'GeneratedTokens': 'many'"):
        traces.load_trace(damaged, scratch.owner)
    assert rows(scratch, "SELECT count(*) FROM lab.usage_log WHERE model = 'damaged'") == [(0,)]


def test_a_log_that_is_used_is_refused(
    scratch_postgres: Any, gateway_env: Any, scratch: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = make_full_database(scratch_postgres, gateway_env, "usage_traces_live")
    with pytest.raises(traces.LiveLogRefused, match="holds keys"):
        traces.load_trace(FILES / "azure.csv", live.owner)
    connection = psycopg2.connect(live.owner)
    with connection:
        connection.cursor().execute('DELETE FROM "LiteLLM_VerificationToken"')
    connection.close()
    with pytest.raises(traces.LiveLogRefused, match="requests that are no trace's"):
        traces.load_trace(FILES / "azure.csv", live.owner)
    monkeypatch.setenv("LAB_DATABASE_URL", scratch.reader)
    with pytest.raises(traces.LiveLogRefused, match="lab's own usage log"):
        traces.load_trace(FILES / "azure.csv", scratch.owner)


def test_a_database_without_tables_or_without_server_says_what_to_do(scratch_postgres: Any) -> None:
    with pytest.raises(LogNotReady, match=r"migrate\.py"):
        traces.load_trace(FILES / "azure.csv", scratch_postgres.create_database("usage_traces_bare"))
    with pytest.raises(LogUnreachable, match="--database"):
        traces.load_trace(FILES / "azure.csv", "postgresql://u:secret@127.0.0.1:1/nothing")
