"""The roll-up is killed, doubled, old, asked by the wrong role: what is in it stays right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from sqlalchemy import text

from litellm_hub import usage
from litellm_hub.gateway import rollup
from tests.support.usage_rollup import (
    NOW,
    RolledUp,
    assert_equal_to_the_log,
    contents,
)


def test_a_refresh_that_is_killed_leaves_what_was_there(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(hours=9), 40)
    empty.refresh()
    before = contents(empty)
    empty.add(NOW - timedelta(hours=2), 40)
    with closing(psycopg2.connect(empty.database.owner)) as victim, victim.cursor() as cursor:
        cursor.execute("SELECT lab_usage.refresh(at => %s)", (NOW,))
        empty.call("SELECT pg_terminate_backend(:pid)", pid=victim.info.backend_pid)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("COMMIT")
    assert contents(empty) == before
    empty.refresh()
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_two_refreshes_at_once_give_what_one_gives(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(hours=9), 60)

    def refresh(_: int) -> int:
        with closing(psycopg2.connect(empty.database.owner)) as connection:
            return rollup.refresh(connection)

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(refresh, range(4)))) == 4
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_a_second_refresh_changes_nothing(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(hours=9), 60)
    empty.refresh()
    before = contents(empty)
    empty.refresh()
    assert contents(empty) == before


def test_what_age_removes_from_the_log_stays_in_the_roll_up(empty: RolledUp) -> None:
    for day in range(12):
        empty.add(NOW - timedelta(days=day, hours=5), 15)
    empty.refresh(retention="30 days")
    everything = list(empty.log.values())
    limit = NOW - timedelta(days=7)
    for identity in [request.id for request in everything if request.started < limit]:
        empty.delete(identity)
    young = next(request for request in empty.log.values() if request.started > NOW - timedelta(days=5))
    empty.refresh(retention="7 days")
    empty.delete(young.id)
    # A longer period later brings nothing back, and must not count what is gone.
    for retention in ("7 days", "400 days"):
        empty.refresh(NOW + timedelta(hours=1), retention=retention)
        empty.check(NOW + timedelta(hours=1))
        left = [request for request in everything if request.id != young.id]
        assert_equal_to_the_log(empty.reader, left, "Asia/Kolkata")


def test_a_clock_that_ran_ahead_freezes_nothing(empty: RolledUp) -> None:
    for day in range(5):
        empty.add(NOW - timedelta(days=day, hours=6), 12)
    empty.refresh(NOW + timedelta(days=500), retention="30 days")
    empty.delete(min(empty.log.values(), key=lambda request: request.started).id)
    empty.refresh(retention="30 days")
    empty.check()
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_the_check_finds_what_sums_do_not_show(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(days=3), 30)
    empty.refresh()
    first, second = sorted(empty.log)[:2]
    with empty.owner.begin() as connection:
        for identity, model in ((first, "model-a"), (second, "model-b")):
            statement = text('UPDATE "LiteLLM_SpendLogs" SET model_group = :model WHERE request_id = :id')
            connection.execute(statement, {"model": model, "id": identity})
    for identity, model in ((first, "model-a"), (second, "model-b")):
        empty.log[identity] = replace(empty.log[identity], model=model)
    assert empty.check() > 0
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_spend_keeps_nine_digits(empty: RolledUp) -> None:
    with empty.owner.begin() as connection:
        connection.execute(
            text(
                'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", model, spend, status)'
                " SELECT 'spend-' || n, 'x', t, t, 'm', CASE WHEN n % 5000 = 0 THEN 12345.678901 ELSE 1e-7 * n END,"
                " 'success' FROM generate_series(1, 20000) AS n,"
                " LATERAL (SELECT CAST(:now AS timestamp) - n * interval '7 seconds' AS t) AS at"
            ),
            {"now": NOW.replace(tzinfo=None)},
        )
    empty.refresh()
    exact = empty.call('SELECT sum(CAST(spend AS numeric)) FROM "LiteLLM_SpendLogs"')[0]
    for found in (usage.totals(empty.reader, by=()), usage.people(empty.reader, by=("model",))):
        assert found["spend"].iloc[0] == pytest.approx(float(exact), rel=1e-10)


def test_freshness_tells_how_far_the_roll_up_is(empty: RolledUp) -> None:
    now = datetime.now(UTC)
    empty.add(now - timedelta(days=2), 10)
    assert usage.freshness(empty.reader).state == "missing"
    empty.call("SELECT lab_usage.refresh()")
    assert usage.freshness(empty.reader).state == "building"
    empty.refresh(now)
    assert usage.freshness(empty.reader).state == "fresh"
    empty.refresh(now - timedelta(minutes=20))
    found = usage.freshness(empty.reader)
    assert found.state == "stale"
    assert found.refreshed_at == now - timedelta(minutes=20)
    assert found.covered_from is None


def assert_forbidden(connection: psycopg2.extensions.connection, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            connection.cursor().execute(statement)
        connection.rollback()


def test_the_refreshing_role_may_refresh_and_nothing_else(empty: RolledUp) -> None:
    empty.add(datetime.now(UTC) - timedelta(hours=5), 10)
    url = empty.database.owner.replace("litellm", "lab_refresher")
    with closing(psycopg2.connect(url)) as connection:
        assert rollup.refresh(connection, retention="400d") == 10
        assert rollup.check(connection) == 0
        assert_forbidden(
            connection,
            "SELECT 1 FROM lab.usage_log",
            'SELECT 1 FROM public."LiteLLM_SpendLogs"',
            "SELECT 1 FROM lab_usage.people",
            "DELETE FROM lab_usage.volume",
            "SELECT lab_usage.rebuild('2026-01-01', '2026-01-02')",
            "CREATE TEMP TABLE usage_piece (bucket timestamp)",
        )


def test_the_reader_cannot_change_the_roll_up(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(hours=9), 5)
    empty.refresh()
    with closing(psycopg2.connect(empty.database.reader)) as connection:
        connection.readonly = False  # a session may lift its role's setting
        assert_forbidden(
            connection,
            "SELECT lab_usage.refresh()",
            "SELECT lab_usage.extend()",
            "SELECT 1 FROM lab_usage.source",
            "DELETE FROM lab_usage.volume",
            "UPDATE lab_usage.state SET repaired = 1",
        )


@pytest.mark.parametrize("period", ["400 days", "d", "-1d", "1y"])
def test_a_wrong_period_is_refused_before_anything_happens(empty: RolledUp, period: str) -> None:
    with (
        closing(psycopg2.connect(empty.database.owner)) as connection,
        pytest.raises(ValueError, match="400d"),
    ):
        rollup.refresh(connection, retention=period)
