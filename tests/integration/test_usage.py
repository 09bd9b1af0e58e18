"""`litellm_hub.usage` against LiteLLM's own tables in a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg2
import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from litellm_hub import usage
from litellm_hub.client import Usage
from litellm_hub.gateway import rollup
from litellm_hub.usage.connection import reading
from tests.support import usage_truth
from tests.support.usage_database import PASSWORD, ROOT, Database, make_database, make_full_database, make_roles
from tests.support.usage_rollup import BOUND, COUNTS, MEASURES, assert_equal_to_the_log
from tests.support.usage_truth import grouped, percentile, requests, rows, truth
from widgets.conversations.answer_figures import AnswerFigures


@pytest.fixture(scope="module")
def database(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage")


@pytest.fixture(scope="module")
def rolled_up(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage_rolled_up", rolled_up=True)


@pytest.fixture(scope="module", params=["from the log", "from the roll-up"])
def log(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = "database" if request.param == "from the log" else "rolled_up"
    engine = usage.connect(request.getfixturevalue(name).reader)
    yield engine
    engine.dispose()


@contextmanager
def changed(database: Database, statement: str) -> Iterator[None]:
    """Rows for the block, and none of them after it."""
    with closing(psycopg2.connect(database.owner)) as connection:
        connection.cursor().execute(statement)
        connection.commit()
        yield
        connection.cursor().execute('TRUNCATE "LiteLLM_SpendLogs", "LiteLLM_VerificationToken" CASCADE')
        connection.commit()


@pytest.fixture(scope="module")
def empty(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_database(scratch_postgres, gateway_env, "usage_empty")


def test_the_truth_has_every_kind_of_row() -> None:
    happened = truth(smoke=True)
    assert len(happened) > len(truth())
    assert happened["failed"].any()
    assert happened["cached"].any()
    assert happened["first_token"].notna().any()
    assert happened["user"].isna().any()
    assert happened["speed"].isna().any()
    repeated = truth("Europe/Berlin")["hour"].dt.tz_convert("Europe/Berlin").drop_duplicates()
    assert repeated.dt.tz_localize(None).duplicated().any()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Europe/Berlin", "Australia/Lord_Howe"])
def test_every_answer_is_what_happened_on_every_clock(log: Engine, zone: str) -> None:
    happened = [request for request in requests() if not request.smoke]
    assert_equal_to_the_log(log, happened, zone)
    for grain in ("quarter", "week"):
        found = usage.volume(log, grain=grain, tz=zone)
        assert str(found["time"].dtype) == f"datetime64[us, {zone}]"
        assert found["time"].is_monotonic_increasing
        assert set(found["time"].dt.minute) <= {0, 15, 30, 45}
        assert found["requests"].sum() == len(happened)


def test_totals_need_nothing_to_be_told_apart_by(log: Engine) -> None:
    expected = grouped(truth().assign(all="all"), "all").agg(**COUNTS, failure_rate=("failed", "mean")).reset_index()
    assert rows(usage.totals(log, by=()).assign(all="all"), "all") == rows(expected, "all")


@pytest.mark.parametrize("report", list(MEASURES))
def test_percentiles_of_people_are_those_of_their_requests(log: Engine, report: str) -> None:
    measure = MEASURES[report]
    happened = truth("America/St_Johns")
    answered = happened[~happened["failed"] & ~happened["cached"] & happened[measure].notna()]
    values = {key: group[measure] for key, group in answered.groupby(["hour", "user"], dropna=False)}
    found = getattr(usage, report)(log, by=("user",), grain="hour", tz="America/St_Johns")
    assert len(found) == len(values)
    for _, row in found.iterrows():
        measured = values[row["time"], row["user"]]
        assert row["requests"] == len(measured)
        for rank in (50, 90, 95, 99):
            assert row[f"p{rank}"] == pytest.approx(percentile(measured, rank), rel=1e-9)


def test_errors_equal_the_truth(log: Engine) -> None:
    failed = truth()[lambda happened: happened["failed"]]
    failed = failed.assign(error_class=failed["error"].str[0], error_code=failed["error"].str[1])
    keys = ("model", "error_class", "error_code")
    expected = grouped(failed, *keys).agg(requests=("id", "size"), last=("started", "max")).reset_index()
    found = usage.error_taxonomy(log)
    assert rows(found.drop(columns="share"), *keys) == rows(expected, *keys)
    assert found["requests"].is_monotonic_decreasing
    assert found["share"].sum() == pytest.approx(1)
    assert usage.error_taxonomy(log, usage.UsageFilter(status="success")).empty
    one = usage.error_taxonomy(log, usage.UsageFilter(user="ada"))
    assert one["requests"].sum() == (failed["user"] == "ada").sum()


def test_people_are_ranked_by_tokens(log: Engine) -> None:
    expected = grouped(truth(), "user").agg(**COUNTS).reset_index()
    found = usage.people(log)
    assert rows(found.drop(columns="share"), "user") == rows(expected, "user")
    assert found["total_tokens"].is_monotonic_decreasing
    assert found["share"].sum() == pytest.approx(1)
    first = usage.people(log, by=("user", "key_alias"), limit=1)
    assert len(first) == 1
    assert first["share"][0] < 1


def test_concurrency_is_what_littles_law_says(log: Engine) -> None:
    where = usage.UsageFilter(until=datetime(2026, 10, 25, 2, 30, tzinfo=UTC))
    happened = truth()[lambda t: t["started"] < where.until]
    expected = happened.groupby("hour")["duration"].sum() / 3600
    expected.iloc[-1] *= 2  # half of the last hour counts
    found = usage.concurrency(log, where, slots=1)
    assert found["mean_concurrency"].tolist() == pytest.approx(expected.tolist())
    assert found["utilisation"].tolist() == pytest.approx(expected.tolist())
    assert (found["arrivals_per_s"] * found["mean_duration_s"]).tolist() == pytest.approx(expected.tolist())
    assert usage.concurrency(log)["utilisation"].isna().all()


def test_cache_hits_equal_the_truth(log: Engine) -> None:
    expected = grouped(truth(), "day").agg(
        requests=("id", "size"), cache_hits=("cached", "sum"), hit_rate=("cached", "mean")
    )
    expected = expected.reset_index().rename(columns={"day": "time"})
    assert rows(usage.cache_hits(log), "time") == rows(expected, "time")


def test_requests_are_listed_page_by_page_without_gap_or_repetition(log: Engine) -> None:
    happened = truth().sort_values(["started", "id"], ascending=False)
    pages = list(usage.stream_requests(log, chunk=77, tz="Asia/Kolkata"))
    assert [len(page) for page in pages[:-1]] == [77] * (len(pages) - 1)
    assert pd.concat(pages)["request_id"].tolist() == happened["id"].tolist()
    assert usage.cursor(usage.requests(log, usage.UsageFilter(model="no such model"))) is None


def test_a_request_is_shown_with_what_belongs_to_it(log: Engine) -> None:
    happened = truth().sort_values(["started", "id"], ascending=False).head(200).set_index("id")
    found = usage.requests(log, limit=200, tz="Asia/Kolkata").set_index("request_id")
    assert found.index.tolist() == happened.index.tolist()
    assert (found["started_at"] == happened["started"]).all()
    assert found["duration_s"].tolist() == pytest.approx(happened["duration"].tolist())
    assert found["first_token_s"].tolist() == pytest.approx(happened["first_token"].tolist(), nan_ok=True)
    assert (found["status"] == happened["failed"].map({True: "failure", False: "success"})).all()
    assert found["key_alias"].fillna("").tolist() == happened["key_alias"].fillna("").tolist()
    assert set(map(tuple, found["tags"])) == {("course-7",)}


def test_sessions_are_those_that_callers_name(empty: Database) -> None:
    insert = (
        'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", session_id, total_tokens,'
        ' "user")'
        " VALUES ('1', 'x', '2026-05-01 10:00', '2026-05-01 10:01', 'talk', 5, 'ada'),"
        " ('2', 'x', '2026-05-01 10:05', '2026-05-01 10:06', 'talk', 7, 'ada'),"
        " ('3', 'x', '2026-05-01 10:02', '2026-05-01 10:03', 'other', 1, 'grace')"
    )
    engine = usage.connect(empty.reader)
    with changed(empty, insert):
        found = usage.sessions(engine)
        assert found["session_id"].tolist() == ["talk", "other"]
        assert found["requests"].tolist() == [2, 1]
        assert found["total_tokens"].tolist() == [12, 1]
        assert found["last"][0] == pd.Timestamp("2026-05-01 10:05", tz="UTC")
        assert usage.sessions(engine, usage.UsageFilter(user="grace"))["session_id"].tolist() == ["other"]
    engine.dispose()


def test_budgets_burn_down_at_the_pace_of_the_last_days(empty: Database) -> None:
    insert = """
        INSERT INTO "LiteLLM_VerificationToken" (token, key_alias, user_id, spend, max_budget, budget_duration,
            budget_reset_at) VALUES (encode(sha256('a'), 'hex'), 'busy', 'ada', 4, 10, '30d', '2026-05-21'),
            (encode(sha256('b'), 'hex'), 'idle', 'ada', 0, 10, '30d', '2026-05-21'),
            (encode(sha256('c'), 'hex'), 'spent', 'ada', 11, 10, NULL, NULL),
            (encode(sha256('d'), 'hex'), 'free', 'ada', 4, NULL, NULL, NULL);
        INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", api_key, spend)
            SELECT n::text, 'x', '2026-05-09 10:00', '2026-05-09 10:01', encode(sha256('a'), 'hex'), 2
            FROM generate_series(1, 7) AS n"""
    engine = usage.connect(empty.reader)
    with changed(empty, insert):
        found = usage.budgets(engine, now=datetime(2026, 5, 11, tzinfo=UTC)).set_index("key_alias")
        assert set(found.index) == {"busy", "idle", "spent"}
        assert found.loc["busy", "burn_per_day"] == pytest.approx(2)
        assert found.loc["busy", "days_left"] == pytest.approx(3)
        assert found["lasts"].to_dict() == {"busy": False, "idle": True, "spent": False}
        assert found.loc["spent", "days_left"] == 0
        assert pd.isna(found.loc["idle", "days_left"])
    engine.dispose()


def test_keys_say_what_is_left_of_each_budget(empty: Database) -> None:
    shorter = [
        {"budget_duration": time, "max_budget": amount, "reset_at": "2026-05-12T00:00:00+00:00"}
        for time, amount in (("1d", 1), ("12h", 0.5))
    ]
    insert = f"""
        INSERT INTO "LiteLLM_VerificationToken" (token, key_alias, user_id, spend, max_budget, budget_duration,
            budget_reset_at, budget_limits, blocked, last_active) VALUES
            (encode(sha256('a'), 'hex'), 'busy', 'ada', 4, 10, '30d', '2026-06-01', '{json.dumps(shorter)}', NULL,
            '2026-05-11 9:00'),
            (encode(sha256('b'), 'hex'), 'closed', 'bob', 0, NULL, NULL, NULL, 'null', true, NULL);
        INSERT INTO "LiteLLM_BudgetWindowSpend"
            (entity_type, entity_id, window_duration, window_start, spend, updated_at) VALUES
            ('key', encode(sha256('a'), 'hex'), '1d', '2026-05-11', 0.25, now()),
            ('key', encode(sha256('a'), 'hex'), '12h', '2026-05-11', 0.25, now())"""
    engine = usage.connect(empty.reader)
    with changed(empty, insert):
        found = usage.keys(engine, tz="Europe/Berlin")
        assert found["key_alias"].tolist() == ["busy", "busy", "busy", "closed"]
        assert found["budget_duration"].tolist()[:3] == ["30d", "1d", "12h"]
        assert found["left"].tolist()[:3] == [6, 0.75, 0.5], "what was spent before the window began is none of it"
        assert found["blocked"].tolist() == [False, False, False, True]
        assert found["reset_at"][0] == pd.Timestamp("2026-06-01 02:00", tz="Europe/Berlin")
        assert found["last_active"][0] == pd.Timestamp("2026-05-11 11:00", tz="Europe/Berlin")
        assert pd.isna(found["max_budget"][3])
        assert pd.isna(found["last_active"][3])
    engine.dispose()


def test_the_self_test_counts_only_when_asked_for(log: Engine) -> None:
    everything = usage.UsageFilter(include_smoke=True)
    for report in (usage.totals, usage.people, usage.volume):
        assert report(log, everything)["requests"].sum() == len(truth(smoke=True))
        assert report(log)["requests"].sum() == len(truth())
    assert usage.latency(log, everything)["requests"].sum() > usage.latency(log)["requests"].sum()


def test_the_wrong_key_of_the_self_test_is_left_out(empty: Database) -> None:
    key = "sk-not-a-key-of-this-lab"
    assert key in (ROOT / "ansible/roles/smoke/tasks/start.yml").read_text(), "the self-test uses another wrong key now"
    insert = (
        'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, "startTime", "endTime", status)'
        f" VALUES ('refused', 'acompletion', encode(sha256('{key}'), 'hex'), now(), now(), 'failure')"
    )
    engine = usage.connect(empty.reader)
    with changed(empty, insert):
        assert usage.error_taxonomy(engine).empty
        assert usage.error_taxonomy(engine, usage.UsageFilter(include_smoke=True))["requests"].tolist() == [1]
    engine.dispose()


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (usage.UsageFilter(model="qwen2.5"), lambda t: t["model"] == "qwen2.5"),
        (usage.UsageFilter(status="failure"), lambda t: t["failed"]),
        (usage.UsageFilter(user="grace", key_alias="gone"), lambda t: t["key_alias"] == "gone"),
        (usage.UsageFilter(model=("qwen2.5", "smollm2")), lambda t: t["model"].isin(["qwen2.5", "smollm2"])),
        (usage.UsageFilter(tag="course-7", user="ada"), lambda t: t["user"] == "ada"),
        (
            usage.UsageFilter(
                since=datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=0),
                until=datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            ),
            lambda t: (
                (t["started"] >= datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
                & (t["started"] < datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
            ),
        ),
    ],
    ids=[
        "model",
        "failure",
        "user and key",
        "two models",
        "tag and user",
        "an hour that a clock shows twice",
    ],
)
def test_a_filter_chooses_the_same_requests_as_the_truth(log: Engine, where: usage.UsageFilter, chosen: Any) -> None:
    expected = set(truth()[chosen]["id"])
    assert expected
    assert set(usage.requests(log, where, limit=10_000)["request_id"]) == expected
    assert usage.totals(log, where)["requests"].sum() == len(expected)
    assert usage.volume(log, where, grain="month")["requests"].sum() == len(expected)
    answered = truth()[chosen][lambda t: ~t["failed"] & ~t["cached"]]
    assert usage.latency(log, where)["requests"].sum() == len(answered)


def test_the_bounds_of_a_time_span_are_first_in_and_last_out(log: Engine) -> None:
    started = truth()["started"].sort_values()
    first, last = started.iloc[0].to_pydatetime(), started.iloc[-1].to_pydatetime()
    where = usage.UsageFilter(since=first, until=last)
    found = usage.requests(log, where, limit=10_000)["started_at"]
    assert found.min() == first
    assert found.max() < last
    assert len(found) == (started < last).sum() == usage.totals(log, where)["requests"].sum()


# Failing ----------------------------------------------------------------------------------------------------------


def test_a_slow_statement_is_given_up(database: Database) -> None:
    engine = usage.connect(database.reader, statement_timeout=0.2)
    with pytest.raises(usage.QueryTooSlow, match="time limit"), reading(engine) as connection:
        connection.execute(text("SELECT pg_sleep(20)"))
    engine.dispose()


def test_an_unknown_user_or_database_is_refused(database: Database) -> None:
    url = make_url(database.reader)
    for wrong in (url.set(username="nobody_of_this_name"), url.set(database="no_such_database")):
        with pytest.raises(usage.LogLoginRefused) as caught:
            usage.connect(wrong.render_as_string(hide_password=False))
        assert PASSWORD not in str(caught.value) + caught.value.detail


def test_a_database_without_the_view_says_how_to_get_it(scratch_postgres: Any) -> None:
    engine = usage.connect(scratch_postgres.create_database("usage_bare"))
    with pytest.raises(usage.LogNotReady, match="make up"):
        usage.error_taxonomy(engine)
    engine.dispose()


def test_the_engine_survives_a_restart_of_its_sessions(database: Database, log: Engine) -> None:
    assert not usage.error_taxonomy(log).empty
    with closing(psycopg2.connect(database.superuser)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'lab_reader'")
        assert cursor.fetchone()[0] > 0
    connection.close()
    assert not usage.error_taxonomy(log).empty


def test_a_roll_up_of_before_learns_how_fast_answers_came(scratch_postgres: Any) -> None:
    """By the migration that brings the measure, not from zero on."""
    made = make_roles(scratch_postgres, "usage_before")
    assert "CREATE DATABASE" in made
    superuser = scratch_postgres.url_of("usage_before")
    owner, reader = (superuser.replace("//postgres@", f"//{name}@") for name in ("litellm", "lab_reader"))
    folder = ROOT / "litellm_hub/gateway/migrations"
    files = sorted(folder.glob("*.sql"))
    before = [file for file in files if file.name < "0004_generation_speed.sql"]
    tables = ROOT / "litellm_hub/usage/demo/litellm_tables.sql"
    scratch_postgres.psql(owner, "--single-transaction", *(f"--file={file}" for file in (tables, *before)))
    engine = create_engine(owner.replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
    with engine.begin() as connection:
        usage_truth.write(connection, requests())
    with closing(psycopg2.connect(owner)) as connection:
        rollup.refresh(connection)
    later = [f"--file={file}" for file in files if file not in before]
    scratch_postgres.psql(owner, "--single-transaction", *later)
    log = usage.connect(reader)
    assert_equal_to_the_log(log, [request for request in requests() if not request.smoke])
    log.dispose()


def test_the_panel_and_the_log_count_one_answer_alike(scratch_postgres: Any, gateway_env: Any) -> None:
    made = make_database(scratch_postgres, gateway_env, "usage_one_answer")
    stream: Any = SimpleNamespace(time_to_first_token=42.0, duration=49.75, finish_reason="stop", usage=Usage(12, 29))
    figures = AnswerFigures()
    figures.add(stream)
    answer = replace(requests()[0], failure=None, cache_hit=False, smoke=False, old=False, completion_tokens=29)
    engine = create_engine(made.owner.replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
    with engine.begin() as connection:
        usage_truth.write(connection, [replace(answer, first_token_ms=42_000, duration_ms=49_750)])
    log = usage.connect(made.reader)
    found = usage.tokens_per_second(log, by=())["p50"].tolist()
    log.dispose()
    assert found == [pytest.approx(figures.figures()["tokens_per_s"], rel=BOUND)]
    assert found == [pytest.approx(28 / 7.75, rel=BOUND)]
