"""The roll-up against the log, whatever happens to either: rows that come late, change and go, clocks, kills, age."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text

from litellm_hub import rollup, usage
from tests.support import usage_truth
from tests.support.usage_database import PASSWORD, ROOT, Database, make_database
from tests.support.usage_truth import Request, grouped, nearest_rank, rows, truth

NOW = datetime(2026, 10, 26, 12, 7, tzinfo=UTC)  # the day after Berlin's clocks went back
BOUND = 1 / 101  # of the value, between a percentile and the nearest-rank one
TIERS = "volume volume_day distribution distribution_day distribution_month people people_day tags tags_day"
TABLES = f"quarter failures {TIERS}"


class Hub:
    """A database whose log the test writes, and what it wrote."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = create_engine(database.owner.replace("postgresql:", "postgresql+psycopg2:"))
        self.reader = usage.connect(database.reader)
        self.log: dict[str, Request] = {}
        self.count = 0

    def empty(self) -> None:
        """Forget everything."""
        names = ", ".join(f"lab_usage.{name}" for name in (*TABLES.split(), "people_series", "tag_series", "state"))
        with self.owner.begin() as connection:
            connection.execute(text(f'TRUNCATE "LiteLLM_SpendLogs", {names}'))
            connection.execute(text("INSERT INTO lab_usage.state DEFAULT VALUES"))
        self.log, self.count = {}, 0

    def add(self, begin: datetime, number: int, seed: int = 0) -> None:
        dice = random.Random(seed + self.count)
        new = [usage_truth.request(dice, self.count + each, begin) for each in range(number)]
        self.count += number
        self.log |= {request.id: request for request in new}
        with self.owner.begin() as connection:
            usage_truth.insert(connection, new)

    def delete(self, identity: str) -> None:
        del self.log[identity]
        with self.owner.begin() as connection:
            connection.execute(text('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = :id'), {"id": identity})

    def change(self, identity: str, seed: int) -> None:
        old = self.log[identity]
        other = usage_truth.request(random.Random(seed), int(identity.rpartition("-")[2]), old.started)
        self.delete(identity)
        self.log[identity] = replace(other, started=old.started + timedelta(minutes=seed % 40))
        with self.owner.begin() as connection:
            usage_truth.insert(connection, [self.log[identity]])

    def call(self, statement: str, *, commit: bool = True, **values: Any) -> Any:
        with self.owner.connect() as connection:
            answer = connection.execute(text(statement), values).scalars().all()
            if commit:
                connection.commit()
        return answer

    def refresh(self, now: datetime = NOW, *, commit: bool = True, retention: str | None = None) -> None:
        self.call("SELECT lab_usage.refresh(CAST(:r AS interval), at => :at)", commit=commit, r=retention, at=now)
        while commit and self.call("SELECT lab_usage.extend()") != [None]:
            pass

    def check(self, now: datetime = NOW) -> int:
        days = self.call("SELECT lab_usage.days_to_check(:at)", at=now)
        return sum(self.call("SELECT lab_usage.check_day(:day, :at)", day=day, at=now)[0] for day in days)


@pytest.fixture(scope="module")
def hub(scratch_postgres: Any, gateway_env: Any) -> Iterator[Hub]:
    hub = Hub(make_database(scratch_postgres, gateway_env, "usage_rollup"))
    with hub.owner.begin() as connection:
        usage_truth.write(connection, [])
    yield hub
    hub.owner.dispose()
    hub.reader.dispose()


@pytest.fixture
def empty(hub: Hub) -> Hub:
    hub.empty()
    return hub


SUMS = {name: (name, "sum") for name in ("prompt_tokens", "completion_tokens", "total_tokens", "spend")}
COUNTS = {"requests": ("id", "size"), "failures": ("failed", "sum"), "cache_hits": ("cached", "sum"), **SUMS}


def assert_equal_to_the_log(log: Engine, happened: list[Request], zone: str = "UTC") -> None:
    """Every answer is what the requests give: counts and tokens exactly, percentiles within the bound."""
    expected = truth(zone, happened=happened)
    if expected.empty:
        assert usage.volume(log, tz=zone).empty
        assert usage.people(log).empty
        return
    for grain in ("hour", "day", "week", "month"):
        found = usage.volume(log, grain=grain, tz=zone)  # type: ignore[arg-type]
        wanted = grouped(expected, grain, "model").agg(**COUNTS).reset_index().rename(columns={grain: "time"})
        assert rows(found, "time", "model") == rows(wanted, "time", "model"), grain
    by = ("user", "key_alias", "model", "status")
    expected["status"] = expected["failed"].map({True: "failure", False: "success"})
    wanted = grouped(expected, *by).agg(**COUNTS).reset_index()
    assert rows(usage.totals(log, by=by).drop(columns="failure_rate"), *by) == rows(wanted, *by)
    tagged = usage.totals(log, by=("tag",), where=usage.UsageFilter(tag="course-7"))
    assert tagged["requests"].tolist() == [len(expected)]
    assert tagged["total_tokens"].tolist() == [expected["total_tokens"].sum()]
    clock = usage.hour_of_week(log, tz=zone)
    wanted = grouped(expected, "weekday", "hour_of_day").agg(requests=("id", "size"))
    assert clock.set_index(["weekday", "hour"])["requests"].to_dict() == wanted["requests"].to_dict()
    errors = usage.error_taxonomy(log)
    assert errors["requests"].sum() == expected["failed"].sum()
    assert_percentiles(log, expected, zone)


def assert_percentiles(log: Engine, expected: Any, zone: str) -> None:
    answered = expected[~expected["failed"] & ~expected["cached"]]
    measures = {"duration": usage.latency, "first_token": usage.time_to_first_token, "speed": usage.tokens_per_second}
    for measure, report in measures.items():
        measured = answered[answered[measure].notna()]
        for grain, found in ((None, report(log)), ("day", report(log, grain="day", tz=zone))):
            keys = ["model"] if grain is None else ["day", "model"]
            groups = {key: group[measure] for key, group in measured.groupby(keys)}
            places = zip(*(found["time" if key == "day" else key] for key in keys), strict=True)
            assert len(found) == len(groups)
            for place, (_, row) in zip(places, found.iterrows(), strict=True):
                values = groups[place]
                assert row["requests"] == len(values)
                assert row["max"] == pytest.approx(values.max())
                assert row["mean"] == pytest.approx(values.mean())
                for rank in (50, 90, 95, 99):
                    assert row[f"p{rank}"] == pytest.approx(nearest_rank(values, rank), rel=BOUND * (1 + 1e-9)), measure


# Whatever happens ---------------------------------------------------------------------------------------------------

moments = st.integers(-4 * 24 * 60, 24 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes))
steps = st.one_of(
    st.tuples(st.just("add"), moments, st.integers(1, 12)),
    st.tuples(st.sampled_from(["change", "delete"]), st.integers(0, 10_000)),
    # The clock that a refresh sees may be right, behind or ahead.
    st.tuples(st.sampled_from(["refresh", "killed", "check"]), moments),
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(steps, min_size=2, max_size=12), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
def test_every_history_ends_in_the_sums_of_the_log(hub: Hub, history: list[tuple[Any, ...]], zone: str) -> None:
    hub.empty()
    hub.add(NOW - timedelta(days=1), 20)
    for step, *arguments in history:
        if step == "add":
            hub.add(*arguments)
        elif step in ("change", "delete"):
            if hub.log:
                identity = sorted(hub.log)[arguments[0] % len(hub.log)]
                hub.delete(identity) if step == "delete" else hub.change(identity, arguments[0])
        elif step == "check":
            hub.check(arguments[0])
        else:
            hub.refresh(arguments[0], commit=step == "refresh")
    later = NOW + timedelta(days=2)
    hub.refresh(later)
    hub.check(later)
    assert_equal_to_the_log(hub.reader, list(hub.log.values()), zone)
    assert hub.check(later) == 0


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_local_days_are_right_on_every_clock(empty: Hub, zone: str) -> None:
    for day in range(-3, 1):
        for hour in (0, 6, 12, 18):
            empty.add(NOW.replace(hour=hour, minute=0) + timedelta(days=day), 12)
    empty.refresh(NOW + timedelta(days=1))
    assert_equal_to_the_log(empty.reader, list(empty.log.values()), zone)


def test_without_a_roll_up_the_log_answers(empty: Hub) -> None:
    empty.add(NOW - timedelta(hours=30), 40)
    assert usage.freshness(empty.reader).state == "missing"
    assert_equal_to_the_log(empty.reader, list(empty.log.values()), "Asia/Kolkata")


def test_what_came_after_the_last_refresh_is_in_the_answers(empty: Hub) -> None:
    empty.add(NOW - timedelta(hours=9), 40)
    empty.refresh()
    empty.add(NOW, 30)
    assert_equal_to_the_log(empty.reader, list(empty.log.values()), "Asia/Kolkata")


def test_late_changed_and_deleted_rows_of_the_last_hours_count_after_the_next_refresh(empty: Hub) -> None:
    empty.add(NOW - timedelta(hours=9), 40)
    empty.add(NOW - timedelta(hours=5), 40)
    empty.refresh()
    recent = sorted(each.id for each in empty.log.values() if each.started > NOW - timedelta(hours=2))
    assert len(recent) > 5
    empty.delete(recent[0])
    with empty.owner.begin() as connection:
        changed = replace(empty.log[recent[1]], model="another", prompt_tokens=7)
        connection.execute(text('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = :id'), {"id": changed.id})
        late = replace(empty.log[recent[2]], id="late-5000")
        usage_truth.insert(connection, [changed, late])
    empty.log |= {changed.id: changed, late.id: late}
    empty.refresh(NOW + timedelta(minutes=1))
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_a_roll_up_that_is_being_built_is_completed_from_the_log(empty: Hub) -> None:
    for day in range(5):
        empty.add(NOW - timedelta(days=day, hours=6), 12)
    empty.call("SELECT lab_usage.refresh(at => :at)", at=NOW)
    for _ in range(3):
        empty.call("SELECT lab_usage.extend()")
        assert usage.freshness(empty.reader).covered_from is not None
        assert_equal_to_the_log(empty.reader, list(empty.log.values()), "Europe/Berlin")


@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_range_is_exact_for_everybody(hub: Hub, data: Any) -> None:
    if len(hub.log) != 300:
        hub.empty()
        for part in range(10):
            hub.add(NOW - timedelta(hours=12 * part), 30, seed=part)
        hub.refresh(NOW + timedelta(hours=2))
    since, until = sorted(data.draw(st.tuples(moments, moments)))
    since += timedelta(milliseconds=data.draw(st.integers(0, 900_000)))
    where = usage.UsageFilter(since=since, until=max(since, until))
    expected = truth(happened=hub.log.values())
    expected = expected[(expected["started"] >= since) & (expected["started"] < until)]
    wanted = grouped(expected, "user", "model").agg(**COUNTS).reset_index() if len(expected) else expected
    found = usage.totals(hub.reader, where, by=("user", "model")).drop(columns="failure_rate")
    assert rows(found, "user", "model") == rows(wanted, "user", "model")
    assert (
        usage.latency(hub.reader, where, by=())["requests"].sum() == (~expected["failed"] & ~expected["cached"]).sum()
    )


# Killed, twice, old -------------------------------------------------------------------------------------------------


def contents(hub: Hub) -> dict[str, list[str]]:
    """Everything in the roll-up; a cell's bins have no order."""
    bins = "(bucket, model, measure, is_smoke, requests, largest, bin, n)"

    def lines(name: str) -> list[str]:
        pairs = ", unnest(bins, counts) AS pair (bin, n)" if "distribution" in name else ""
        return sorted(hub.call(f"SELECT CAST({bins if pairs else 't'} AS text) FROM lab_usage.{name} AS t{pairs}"))

    return {name: lines(name) for name in TABLES.split()}


def test_a_refresh_that_is_killed_leaves_what_was_there(empty: Hub) -> None:
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


def test_two_refreshes_at_once_give_what_one_gives(empty: Hub) -> None:
    empty.add(NOW - timedelta(hours=9), 60)

    def refresh(_: int) -> int:
        with closing(psycopg2.connect(empty.database.owner)) as connection:
            return rollup.refresh(connection)

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(refresh, range(4)))) == 4
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_a_second_refresh_changes_nothing(empty: Hub) -> None:
    empty.add(NOW - timedelta(hours=9), 60)
    empty.refresh()
    before = contents(empty)
    empty.refresh()
    assert contents(empty) == before


def test_what_age_removes_from_the_log_stays_in_the_roll_up(empty: Hub) -> None:
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


def test_a_clock_that_ran_ahead_freezes_nothing(empty: Hub) -> None:
    for day in range(5):
        empty.add(NOW - timedelta(days=day, hours=6), 12)
    empty.refresh(NOW + timedelta(days=500), retention="30 days")
    empty.delete(min(empty.log.values(), key=lambda request: request.started).id)
    empty.refresh(retention="30 days")
    empty.check()
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_the_check_finds_what_sums_do_not_show(empty: Hub) -> None:
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


def test_spend_keeps_nine_digits(empty: Hub) -> None:
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


def test_the_azure_trace_is_added_up_exactly(empty: Hub) -> None:
    trace = pd.read_csv(ROOT / "tests/unit/usage/traces/azure.csv", parse_dates=["TIMESTAMP"])
    with empty.owner.begin() as connection:
        connection.execute(
            text(
                'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", model, prompt_tokens,'
                " completion_tokens, total_tokens, status)"
                " VALUES (:id, 'x', :at, :at + :s * interval '1 second', 'trace', :p, :c, :p + :c, 'success')"
            ),
            [
                {
                    "id": f"azure-{n}",
                    "at": row.TIMESTAMP,
                    "s": row.GeneratedTokens / 30,
                    "p": row.ContextTokens,
                    "c": row.GeneratedTokens,
                }
                for n, row in enumerate(trace.itertuples())
            ],
        )
    empty.refresh()
    found = usage.totals(empty.reader, by=())
    assert found["requests"][0] == len(trace)
    assert found["prompt_tokens"][0] == trace["ContextTokens"].sum()
    assert found["completion_tokens"][0] == trace["GeneratedTokens"].sum()
    latency = usage.latency(empty.reader).iloc[0]
    for rank in (50, 90, 95, 99):
        exact = nearest_rank((trace["GeneratedTokens"] / 30).round(3), rank)
        assert latency[f"p{rank}"] == pytest.approx(exact, rel=BOUND * (1 + 1e-9))


def test_freshness_tells_how_far_the_roll_up_is(empty: Hub) -> None:
    now = datetime.now(UTC)
    empty.add(now - timedelta(days=2), 10)
    empty.call("SELECT lab_usage.refresh()")
    assert usage.freshness(empty.reader).state == "building"
    empty.refresh(now)
    assert usage.freshness(empty.reader).state == "fresh"
    empty.refresh(now - timedelta(minutes=20))
    found = usage.freshness(empty.reader)
    assert found.state == "stale"
    assert found.refreshed_at == now - timedelta(minutes=20)
    assert found.covered_from is None


# Rights -------------------------------------------------------------------------------------------------------------


def test_the_refreshing_role_may_refresh_and_nothing_else(empty: Hub) -> None:
    empty.add(datetime.now(UTC) - timedelta(hours=5), 10)
    url = empty.database.owner.replace("usage_owner", "lab_refresher")
    with closing(psycopg2.connect(url)) as connection:
        assert rollup.refresh(connection, retention="400d") == 10
        assert rollup.check(connection) == 0
        for statement in (
            "SELECT 1 FROM lab.usage_log",
            'SELECT 1 FROM public."LiteLLM_SpendLogs"',
            "SELECT 1 FROM lab_usage.people",
            "DELETE FROM lab_usage.volume",
            "SELECT lab_usage.rebuild('2026-01-01', '2026-01-02')",
            "CREATE TEMP TABLE usage_piece (bucket timestamp)",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                connection.cursor().execute(statement)
            connection.rollback()
    assert PASSWORD in url


def test_the_reader_cannot_change_the_roll_up(empty: Hub) -> None:
    empty.add(NOW - timedelta(hours=9), 5)
    empty.refresh()
    with closing(psycopg2.connect(empty.database.reader)) as connection:
        connection.autocommit = True
        for statement in (
            "SELECT lab_usage.refresh()",
            "SELECT lab_usage.extend()",
            "SELECT 1 FROM lab_usage.source",
            "DELETE FROM lab_usage.volume",
            "UPDATE lab_usage.state SET repaired = 1",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                connection.cursor().execute(statement)


@pytest.mark.parametrize("period", ["400 days", "d", "-1d", "1y"])
def test_a_wrong_period_is_refused_before_anything_happens(empty: Hub, period: str) -> None:
    with (
        closing(psycopg2.connect(empty.database.owner)) as connection,
        pytest.raises(ValueError, match="400d"),
    ):
        rollup.refresh(connection, retention=period)
