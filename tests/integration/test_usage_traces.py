"""Traces become usage rows of a scratch database, and never of a log that somebody uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg2
import pytest

from benchmarks.usage import traces
from benchmarks.usage.trace_formats import TraceError
from tests.support.usage_database import Database, make_database

FILES = Path(__file__).parents[1] / "unit/benchmarks/traces"


@pytest.fixture(scope="module")
def scratch(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_database(scratch_postgres, gateway_env, "usage_traces")


def query(database: Database, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(database.owner)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    connection.close()
    return found


def test_a_trace_is_loaded_whole_and_once_or_not_at_all(scratch: Database, tmp_path: Path) -> None:
    lines = [line.split(",") for line in (FILES / "azure.csv").read_text().splitlines()[1:]]
    expected = [(60, sum(int(line[1]) for line in lines), sum(int(line[2]) for line in lines))]
    damaged = tmp_path / "azure.csv"
    damaged.write_text((FILES / "azure.csv").read_text() + "2023-11-16 18:20:00,1,many\n")
    for _ in range(2):
        assert traces.load_trace(FILES / "azure.csv", scratch.owner) == 60
        with pytest.raises(TraceError, match=r"line 62: .*many"):
            traces.load_trace(damaged, scratch.owner)
        sums = "SELECT count(*), sum(prompt_tokens), sum(completion_tokens) FROM lab.usage_log WHERE model = 'azure'"
        assert query(scratch, sums) == expected


def test_durations_are_the_trace_s_own_or_modelled_and_marked(scratch: Database) -> None:
    traces.load_trace(FILES / "burstgpt_elapsed.csv", scratch.owner, name="elapsed")
    traces.load_trace(FILES / "mooncake.jsonl", scratch.owner, name="modelled", speed=traces.Speed(1000, 100))
    taken = (
        "SELECT extract(epoch FROM completed_at - started_at)::float8, tags FROM lab.usage_log"
        " WHERE user_id = 'trace:{}' ORDER BY started_at_utc LIMIT 1"
    )
    assert query(scratch, taken.format("elapsed")) == [(3.25, ["trace", "API log"])]
    assert query(scratch, taken.format("modelled")) == [(11.758, ["trace", "modelled-duration"])]


@pytest.mark.parametrize(
    ("made", "unmade", "words"),
    [
        (
            "INSERT INTO \"LiteLLM_VerificationToken\" (token) VALUES ('key')",
            'DELETE FROM "LiteLLM_VerificationToken"',
            "holds keys",
        ),
        (
            "UPDATE \"LiteLLM_SpendLogs\" SET api_key = 'key'",
            "UPDATE \"LiteLLM_SpendLogs\" SET api_key = 'trace:azure'",
            "requests that are no trace's",
        ),
    ],
)
def test_a_log_that_is_used_is_refused(scratch: Database, made: str, unmade: str, words: str) -> None:
    traces.load_trace(FILES / "azure.csv", scratch.owner)
    query(scratch, made)
    with pytest.raises(traces.LiveLogError, match=words):
        traces.load_trace(FILES / "azure.csv", scratch.owner)
    query(scratch, unmade)
