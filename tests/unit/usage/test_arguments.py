"""What cannot be asked is refused before the database is, in words that name the remedy."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from litellm_hub import usage


class Unasked:
    """An engine that nobody may use."""

    def connect(self) -> None:
        raise AssertionError("the database was asked")


LOG: Any = Unasked()


@pytest.mark.parametrize("by", ["model", ("model", "model"), ("colour",)])
@pytest.mark.parametrize("report", [usage.volume, usage.totals, usage.latency, usage.people])
def test_a_wrong_dimension_names_the_right_ones(report: Any, by: Any) -> None:
    with pytest.raises(ValueError, match="user, key_alias"):
        report(LOG, by=by)


@pytest.mark.parametrize("tz", ["Mars/Olympus", "", "../etc/passwd", "+02:00"])
@pytest.mark.parametrize(
    "report", [usage.volume, usage.hour_of_week, usage.cache_hits, usage.concurrency, usage.requests]
)
def test_a_wrong_zone_is_refused(report: Any, tz: str) -> None:
    with pytest.raises(ValueError, match="IANA name"):
        report(LOG, tz=tz)


@pytest.mark.parametrize("report", [usage.volume, usage.latency, usage.cache_hits, usage.concurrency])
def test_a_wrong_grain_names_the_right_ones(report: Any) -> None:
    with pytest.raises(ValueError, match="quarter, hour, day, week, month"):
        report(LOG, grain="year")


@pytest.mark.parametrize("limit", [0, -1, 10_001])
@pytest.mark.parametrize("report", [usage.requests, usage.sessions, usage.people])
def test_a_limit_out_of_range_is_refused(report: Any, limit: int) -> None:
    with pytest.raises(ValueError, match=r"1 to 10,000"):
        report(LOG, limit=limit)


def test_people_need_something_to_be_told_apart_by() -> None:
    with pytest.raises(ValueError, match="by is empty"):
        usage.people(LOG, by=())


def test_a_place_in_the_list_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        usage.requests(LOG, before=(datetime(2026, 5, 1), "id"))


@pytest.mark.parametrize("slots", [0, -2])
def test_a_runtime_without_slots_is_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="at least 1 request"):
        usage.concurrency(LOG, slots=slots)


def test_a_pace_needs_a_day() -> None:
    with pytest.raises(ValueError, match="at least 1 day"):
        usage.budgets(LOG, days=0)
