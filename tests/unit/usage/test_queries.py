from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from litellm_hub import usage

COUNTS = {"requests": "int64", "failures": "int64", "cache_hits": "int64"}
REPORTS: dict[str, tuple[Callable[..., pd.DataFrame], dict[str, str]]] = {
    "requests_by_model": (usage.requests_by_model, {"model": "str", **COUNTS, "failure_rate": "float64"}),
    "requests_by_hour": (usage.requests_by_hour, {"hour": "datetime64[us, UTC]", "model": "str", **COUNTS}),
    "tokens": (
        usage.tokens,
        {
            "model": "str",
            "requests": "int64",
            "prompt_tokens": "int64",
            "completion_tokens": "int64",
            "total_tokens": "int64",
        },
    ),
    "spend": (usage.spend, {"model": "str", "requests": "int64", "spend": "float64"}),
    "latency": (
        usage.latency,
        {
            "model": "str",
            "requests": "int64",
            **dict.fromkeys(("duration_p50_s", "duration_p95_s", "duration_p99_s"), "float64"),
            "streamed": "int64",
            **dict.fromkeys(("first_token_p50_s", "first_token_p95_s", "first_token_p99_s"), "float64"),
            "tokens_per_s_p50": "float64",
        },
    ),
    "errors": (
        usage.errors,
        {
            **dict.fromkeys(("model", "error_class", "error_code"), "str"),
            "failures": "int64",
            "last_at": "datetime64[us, UTC]",
        },
    ),
    "recent": (
        usage.recent,
        {
            "started_at": "datetime64[us, UTC]",
            **dict.fromkeys(("model", "status", "error_class", "error_code", "user_id"), "str"),
            **dict.fromkeys(("team_alias", "key_alias", "key_id", "call_type"), "str"),
            "prompt_tokens": "int64",
            "completion_tokens": "int64",
            **dict.fromkeys(("spend", "duration_s", "first_token_s"), "float64"),
            "cache_hit": "bool",
            "tags": "object",
            "request_id": "str",
        },
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_an_empty_log_gives_an_empty_frame_with_the_documented_columns(name: str, engine: Any) -> None:
    report, dtypes = REPORTS[name]
    frame = report(engine)
    assert frame.empty
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == dtypes


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_reads_the_view_alone_and_leaves_self_tests_out(name: str, engine: Any) -> None:
    REPORTS[name][0](engine)
    assert "FROM lab.usage_log" in engine.sql
    assert "LiteLLM_" not in engine.sql
    assert "NOT lab.usage_log.is_smoke" in engine.sql


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_heeds_the_filter(name: str, engine: Any) -> None:
    REPORTS[name][0](engine, where=usage.UsageFilter(model="it's", include_smoke=True))
    assert "WHERE lab.usage_log.model = 'it''s'" in engine.sql
    assert "is_smoke" not in engine.sql


def test_latency_leaves_failures_and_cached_answers_out(engine: Any) -> None:
    usage.latency(engine)
    assert "lab.usage_log.status = 'success' AND NOT lab.usage_log.cache_hit" in engine.sql
    assert "percentile_disc(0.95) WITHIN GROUP" in engine.sql


def test_hours_are_cut_on_the_clock_of_the_zone(engine: Any) -> None:
    usage.spend(engine, by=("hour", "user"), tz="Asia/Kolkata")
    cut = "date_trunc('hour', lab.usage_log.started_at, 'Asia/Kolkata')"
    assert f"GROUP BY {cut}, lab.usage_log.user_id" in engine.sql


def test_rows_keep_their_dtypes_with_missing_values(engine: Any) -> None:
    half_past = datetime(2026, 5, 1, 3, 30, tzinfo=timezone(timedelta(hours=1)))
    engine.rows = [(half_past, None, 2, 0.5), (half_past, "ada", 1, 0.0)]
    frame = usage.spend(engine, by=("hour", "user"), tz="Asia/Kolkata")
    assert [str(dtype) for dtype in frame.dtypes] == ["datetime64[us, Asia/Kolkata]", "str", "int64", "float64"]
    assert frame["hour"][0] == pd.Timestamp("2026-05-01 08:00", tz="Asia/Kolkata")
    assert frame["user"].isna().tolist() == [True, False]


def test_a_percentile_that_nobody_measured_is_missing(engine: Any) -> None:
    engine.rows = [("m", 1, 0.1, 0.1, 0.1, 0, None, None, None, None)]
    frame = usage.latency(engine)
    assert frame.loc[0, ["first_token_p50_s", "tokens_per_s_p50"]].isna().all()
    assert str(frame["first_token_p50_s"].dtype) == "float64"


def test_recent_shows_instants_in_the_zone_asked_for(engine: Any) -> None:
    started = datetime(2026, 5, 1, 12, tzinfo=UTC)
    tail = ("m", "success", None, None, None, None, None, None, "acompletion", 1, 2, 0.1, 0.5, None, False, ["a"], "id")
    engine.rows = [(started, *tail)]
    frame = usage.recent(engine, 1, tz="Europe/Berlin")
    assert str(frame["started_at"][0]) == "2026-05-01 14:00:00+02:00"
    assert frame["tags"][0] == ["a"]


@pytest.mark.parametrize("by", [(), "model", ("model", "model"), ("colour",)])
def test_a_wrong_dimension_names_the_right_ones(by: Any, engine: Any) -> None:
    with pytest.raises(ValueError, match="model, hour, user, key_alias"):
        usage.tokens(engine, by=by)


@pytest.mark.parametrize("tz", ["Mars/Olympus", "", "../etc/passwd", "+02:00"])
def test_a_wrong_zone_is_refused_before_the_database_is_asked(tz: str, engine: Any) -> None:
    with pytest.raises(ValueError, match="IANA name"):
        usage.requests_by_hour(engine, tz=tz)
    assert engine.statements == []


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_range_is_refused(limit: int, engine: Any) -> None:
    with pytest.raises(ValueError, match=r"1 to 10,000"):
        usage.recent(engine, limit)
