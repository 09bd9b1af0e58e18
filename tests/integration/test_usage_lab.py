"""The usage log and its roll-up as the running lab keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
import yaml
from sqlalchemy import Engine

from litellm_hub import usage
from tests.support.lab import Lab, read_env, wait_until
from tests.support.load import ask, new_caller

pytestmark = pytest.mark.lab


@pytest.fixture
def log(lab: Lab) -> Iterator[Engine]:
    engine = usage.connect(lab.reader_url)
    yield engine
    engine.dispose()


def owner(lab: Lab, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(lab.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def covers(log: Engine, moment: datetime) -> bool:
    """Whether the service has added up everything that began before."""
    found = usage.freshness(log)
    return found.state == "fresh" and found.refreshed_at is not None and found.refreshed_at > moment


def test_the_service_adds_up_what_the_lab_wrote(lab: Lab, log: Engine) -> None:
    caller = new_caller(lab.hub_url, lab.master_key)
    assert ask(lab.hub_url, caller, lab.model).status_code == 200
    asked = datetime.now(UTC)
    of_caller = usage.UsageFilter(user=caller.user_id, include_smoke=True)
    wait_until(lambda: len(usage.requests(log, of_caller, limit=1)), 60, "the row is in the log")
    written = datetime.now(UTC)
    wait_until(lambda: covers(log, written), 120, "the roll-up was refreshed")
    sums = "count(*), sum(prompt_tokens), sum(completion_tokens), sum(spend)"
    where = usage.UsageFilter(until=asked, include_smoke=True)
    [(rows, prompt, answer, spend)] = owner(
        lab, f'SELECT {sums} FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s', asked.replace(tzinfo=None)
    )
    assert rows > 0
    for found in (usage.totals(log, where, by=()), usage.totals(log, where, by=("user", "key_alias"))):
        assert int(found["requests"].sum()) == rows
        assert int(found["prompt_tokens"].sum()) == prompt
        assert int(found["completion_tokens"].sum()) == answer
        assert float(found["spend"].sum()) == pytest.approx(spend, rel=1e-9)
    [(cells,)] = owner(lab, "SELECT count(*) FROM lab_usage.people")
    assert cells > 0


def test_the_service_runs_without_the_owners_password(lab: Lab) -> None:
    url = read_env(lab.home / "config/usage.env")["DATABASE_URL"]
    assert "//lab_refresher:" in url
    assert lab.secrets["POSTGRES_PASSWORD"] not in url
    with closing(psycopg2.connect(url)) as connection, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        connection.cursor().execute('SELECT 1 FROM public."LiteLLM_SpendLogs"')


def test_the_log_is_lean_and_keeps_no_prompts(lab: Lab) -> None:
    marked = "a word that nobody else says: quetzalcoatlus"
    body: dict[str, object] = {
        "model": lab.model,
        "max_tokens": 4,
        "messages": [{"role": "user", "content": marked}],
        "metadata": {"tags": ["lean"]},
    }
    lab.hub("/v1/chat/completions", body, key=lab.notebook_key)
    select = (
        "SELECT metadata ? 'model_map_information', l::text LIKE %s, pg_column_size(metadata)"
        ' FROM "LiteLLM_SpendLogs" AS l WHERE request_tags @> \'["lean"]\''
    )
    wait_until(lambda: owner(lab, select, "%"), 60, "the row is in the log")
    for fat, shown, size in owner(lab, select, "%quetzalcoatlus%"):
        assert not fat
        assert not shown
        assert size < 3000


def test_retention_is_what_the_service_was_told(lab: Lab, log: Engine) -> None:
    general = yaml.safe_load((lab.home / "config/gateway.yaml").read_text())["general_settings"]
    assert general["store_prompts_in_spend_logs"] is False
    wait_until(lambda: usage.freshness(log).state == "fresh", 120, "the roll-up was refreshed")
    [(same,)] = owner(
        lab,
        "SELECT retention = CAST(%s AS interval) FROM lab_usage.state",
        general["maximum_spend_logs_retention_period"],
    )
    assert same


def test_the_readers_queries_are_given_up_in_time(lab: Lab) -> None:
    with (
        closing(psycopg2.connect(lab.reader_url.replace("+psycopg2", ""))) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30s",)
        cursor.execute("SHOW default_transaction_read_only")
        assert cursor.fetchone() == ("on",)
