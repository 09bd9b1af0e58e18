"""What the dashboard shows equals what happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from litellm_hub import usage
from tests.support.usage_database import make_database, make_full_database
from tests.support.usage_truth import truth
from widgets.panels import usage_view
from widgets.panels.usage_view import Choice

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def log(scratch_postgres: Any, gateway_env: Any) -> Iterator[Engine]:
    engine = usage.connect(make_full_database(scratch_postgres, gateway_env, "usage_view").reader)
    yield engine
    engine.dispose()


def values(view: dict[str, Any], part: str = "value") -> dict[str, Any]:
    return {tile["name"]: tile[part] for tile in view["tiles"]}


def test_the_figures_are_those_of_the_log_and_of_the_span_before(log: Engine) -> None:
    happened = truth()
    view = usage_view.view(log, Choice(span="all"), NOW)
    found = values(view)
    assert found["requests"] == len(happened)
    assert found["total_tokens"] == happened["total_tokens"].sum()
    assert found["failure_rate"] == pytest.approx(happened["failed"].mean())
    assert not view["empty"]
    # A span of five hours in October, and the five before it, in which nothing happened.
    choice = Choice(span="custom", since="2026-10-25T00:00", until="2026-10-25T05:00")
    view = usage_view.view(log, choice, NOW)
    october = happened[happened["started"] >= "2026-10-25"]
    assert values(view)["requests"] == len(october)
    assert values(view, "before")["requests"] == 0
    assert view["grain"] == "quarter"


def test_every_chart_has_marks_and_options_name_what_occurs(log: Engine) -> None:
    view = usage_view.view(log, Choice(span="all", by="user", measure="failures", zone="Asia/Kolkata"), NOW)
    assert all(isinstance(chart, dict) for chart in view["charts"].values())
    assert view["options"]["user"] == ["ada", "grace"]
    assert "http" not in str([chart | {"$schema": ""} for chart in view["charts"].values()])


def test_pages_of_rows_are_complete_and_never_overlap(log: Engine) -> None:
    choice = Choice(span="all", model="qwen2.5")
    seen: list[dict[str, Any]] = []
    before = None
    while True:
        page, before = usage_view.rows(log, choice, NOW, None, before)
        seen += page
        if before is None:
            break
    assert len(seen) == (truth()["model"] == "qwen2.5").sum()
    assert [row["time"] for row in seen] == sorted((row["time"] for row in seen), reverse=True)


def test_a_bucket_of_time_lists_its_requests_alone(log: Engine) -> None:
    happened = truth()
    expected = (happened["hour"] == "2026-10-25T01:00Z").sum()
    bucket = ("2026-10-25T01:00:00", "2026-10-25T02:00:00")
    page, before = usage_view.rows(log, Choice(span="all"), NOW, bucket, None)
    while before:
        more, before = usage_view.rows(log, Choice(span="all"), NOW, bucket, before)
        page += more
    assert len(page) == expected


def test_an_empty_log_is_called_empty_and_an_empty_span_is_not(
    log: Engine, scratch_postgres: Any, gateway_env: Any
) -> None:
    span = Choice(span="custom", since="2020-01-01", until="2020-02-01")
    assert not usage_view.view(log, span, NOW)["empty"]
    engine = usage.connect(make_database(scratch_postgres, gateway_env, "usage_view_empty").reader)
    view = usage_view.view(engine, Choice(), NOW)
    assert view["empty"]
    assert all(isinstance(chart, str) for chart in view["charts"].values())
    engine.dispose()
