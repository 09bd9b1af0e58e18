"""`litellm_hub.usage` against LiteLLM's own tables in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import nbformat
import pandas as pd
import psycopg2
import pytest
from nbclient import NotebookClient
from sqlalchemy import Engine, make_url, text

from litellm_hub import usage
from litellm_hub.usage.connection import reading
from tests.support import usage_truth
from tests.support.usage_database import PASSWORD, ROOT, Database, make_database, make_full_database
from tests.support.usage_truth import grouped, nearest_rank, rows, truth

ZONES = ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]
CHART = "application/vnd.vegalite.v5+json"


@pytest.fixture(scope="module")
def database(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage")


@pytest.fixture(scope="module")
def log(database: Database) -> Iterator[Engine]:
    engine = usage.connect(database.reader)
    yield engine
    engine.dispose()


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


def test_requests_by_model_equal_the_truth(log: Engine) -> None:
    expected = grouped(truth(), "model").agg(
        requests=("id", "size"),
        failures=("failed", "sum"),
        cache_hits=("cached", "sum"),
        failure_rate=("failed", "mean"),
    )
    found = usage.requests_by_model(log)
    assert rows(found, "model") == rows(expected.reset_index(), "model")
    assert found["requests"].is_monotonic_decreasing


@pytest.mark.parametrize("zone", ZONES)
def test_requests_by_hour_equal_the_truth_on_every_clock(log: Engine, zone: str) -> None:
    expected = grouped(truth(zone), "hour", "model").agg(
        requests=("id", "size"), failures=("failed", "sum"), cache_hits=("cached", "sum")
    )
    found = usage.requests_by_hour(log, tz=zone)
    assert rows(found, "hour", "model") == rows(expected.reset_index(), "hour", "model")
    assert str(found["hour"].dtype) == f"datetime64[us, {zone}]"
    assert (found["hour"].dt.minute == 0).all() or zone == "Australia/Lord_Howe"
    assert found["hour"].is_monotonic_increasing


@pytest.mark.parametrize("by", [("model",), ("key_alias",), ("user", "model"), ("hour", "user")])
def test_tokens_and_spend_equal_the_truth(log: Engine, by: tuple[usage.Dimension, ...]) -> None:
    groups = grouped(truth("Asia/Kolkata"), *by)
    sums = {name: (name, "sum") for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    expected = groups.agg(requests=("id", "size"), **sums).reset_index()
    assert rows(usage.tokens(log, by=by, tz="Asia/Kolkata"), *by) == rows(expected, *by)
    expected = groups.agg(requests=("id", "size"), spend=("spend", "sum")).reset_index()
    assert rows(usage.spend(log, by=by, tz="Asia/Kolkata"), *by) == rows(expected, *by)


@pytest.mark.parametrize("by", [("model",), ("hour", "model"), ("user",)])
def test_latency_equals_the_truth(log: Engine, by: tuple[usage.Dimension, ...]) -> None:
    happened = truth("America/St_Johns")
    answered = happened[~happened["failed"] & ~happened["cached"]]

    def measures(group: pd.DataFrame) -> pd.Series:
        return pd.Series(
            {
                "requests": len(group),
                **{f"duration_p{rank}_s": nearest_rank(group["duration"], rank) for rank in (50, 95, 99)},
                "streamed": group["first_token"].notna().sum(),
                **{f"first_token_p{rank}_s": nearest_rank(group["first_token"], rank) for rank in (50, 95, 99)},
                "tokens_per_s_p50": nearest_rank(group["speed"], 50),
            }
        )

    expected = grouped(answered, *by).apply(measures).reset_index()
    assert rows(usage.latency(log, by=by, tz="America/St_Johns"), *by) == rows(expected, *by)


def test_errors_equal_the_truth(log: Engine) -> None:
    failed = truth()[lambda happened: happened["failed"]]
    failed = failed.assign(error_class=failed["error"].str[0], error_code=failed["error"].str[1])
    keys = ("model", "error_class", "error_code")
    expected = grouped(failed, *keys).agg(failures=("id", "size"), last_at=("started", "max"))
    found = usage.errors(log)
    assert rows(found, *keys) == rows(expected.reset_index(), *keys)
    assert found["failures"].is_monotonic_decreasing


def test_recent_lists_the_latest_with_what_belongs_to_them(log: Engine) -> None:
    happened = truth().sort_values(["started", "id"], ascending=False).head(200).set_index("id")
    found = usage.recent(log, 200, tz="Asia/Kolkata")
    assert found["started_at"].is_monotonic_decreasing
    found = found.set_index("request_id")
    assert set(found.index) == set(happened.index)
    found = found.loc[happened.index]
    assert (found["started_at"] == happened["started"]).all()
    assert found["duration_s"].tolist() == pytest.approx(happened["duration"].tolist())
    assert found["first_token_s"].tolist() == pytest.approx(happened["first_token"].tolist(), nan_ok=True)
    assert (found["status"] == happened["failed"].map({True: "failure", False: "success"})).all()
    assert found["key_alias"].fillna("").tolist() == happened["key_alias"].fillna("").tolist()
    assert set(map(tuple, found["tags"])) == {("course-7",)}


def test_the_self_test_counts_only_when_asked_for(log: Engine, database: Database) -> None:
    where = usage.UsageFilter(include_smoke=True)
    assert usage.requests_by_model(log, where)["requests"].sum() == len(truth(smoke=True))
    assert usage.requests_by_model(log)["requests"].sum() == len(truth())


def test_the_wrong_key_of_the_self_test_is_left_out(empty: Database) -> None:
    key = "sk-not-a-key-of-this-lab"
    assert key in (ROOT / "ansible/roles/smoke/tasks/run.yml").read_text(), "the self-test uses another wrong key now"
    engine = usage.connect(empty.reader)
    insert = (
        'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, "startTime", "endTime", status)'
        " VALUES ('refused', 'acompletion', encode(sha256(%s), 'hex'), now(), now(), 'failure')"
    )
    with psycopg2.connect(empty.owner) as connection:
        connection.cursor().execute(insert, (key.encode(),))
    connection.close()
    try:
        assert usage.errors(engine).empty
        assert usage.errors(engine, usage.UsageFilter(include_smoke=True))["failures"].tolist() == [1]
    finally:
        with psycopg2.connect(empty.owner) as connection:
            connection.cursor().execute('DELETE FROM "LiteLLM_SpendLogs"')
        connection.close()
        engine.dispose()


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (usage.UsageFilter(model="qwen2.5"), lambda t: t["model"] == "qwen2.5"),
        (usage.UsageFilter(status="failure"), lambda t: t["failed"]),
        (usage.UsageFilter(status="success"), lambda t: ~t["failed"]),
        (usage.UsageFilter(user="grace", key_alias="gone"), lambda t: t["key_alias"] == "gone"),
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
    ids=["model", "failure", "success", "user and key", "an hour that a clock shows twice"],
)
def test_a_filter_chooses_the_same_requests_as_the_truth(log: Engine, where: usage.UsageFilter, chosen: Any) -> None:
    expected = set(truth()[chosen]["id"])
    assert expected
    assert set(usage.recent(log, 10_000, where)["request_id"]) == expected


def test_the_bounds_of_a_time_span_are_first_in_and_last_out(log: Engine) -> None:
    started = truth()["started"].sort_values()
    first, last = started.iloc[0].to_pydatetime(), started.iloc[-1].to_pydatetime()
    found = usage.recent(log, 10_000, usage.UsageFilter(since=first, until=last))["started_at"]
    assert found.min() == first
    assert found.max() < last
    assert len(found) == (started < last).sum()


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
        usage.errors(engine)
    engine.dispose()


def test_the_engine_survives_a_restart_of_its_sessions(database: Database, log: Engine) -> None:
    assert not usage.errors(log).empty
    with psycopg2.connect(database.superuser) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'lab_reader'")
        assert cursor.fetchone()[0] > 0
    connection.close()
    assert not usage.errors(log).empty


# The notebook -----------------------------------------------------------------------------------------------------


def outputs(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything that the notebook shows, run from top to bottom."""
    monkeypatch.setenv("LAB_DATABASE_URL", url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "notebooks/usage.ipynb", as_version=4)
    stored = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert stored == []
    # All of the log, so that the rows of any year count.
    for cell in notebook.cells:
        cell.source = cell.source.replace("since=datetime.now(UTC) - timedelta(days=7)", "")
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return nbformat.writes(notebook)


def test_the_notebook_shows_charts_and_no_secret(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = outputs(database.reader, monkeypatch)
    assert shown.count(CHART) == 7
    assert "nothing to show yet" not in shown.lower()
    for secret in (PASSWORD, usage_truth.SECRET, usage_truth.token_of("ada-notebook")):
        assert secret not in shown


def test_the_notebook_is_friendly_about_an_empty_log(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = outputs(empty.reader, monkeypatch)
    assert CHART not in shown
    assert shown.count("nothing to show yet") >= 7
    assert "No requests in this time span." in shown
