"""Planted incidents are found, quiet logs stay quiet, and too little data is said in words."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from benchmarks.usage.backtests import incidents
from benchmarks.usage.synthetic import PLANTED, hourly_usage
from litellm_hub.usage.insight import complete, unusual_error_rate, unusual_latency, unusual_volume


def test_planted_incidents_are_found_with_few_false_alarms() -> None:
    found = incidents(3).set_index("measure")
    assert (found["found"] == found["planted"]).all()
    assert (found["planted"] > 0).all()
    assert (found["hours_found"] >= 0.9 * found["hours_planted"]).all()
    assert (found["false_alarms"] / found["hours"] < 0.001).all()


def test_a_log_without_incidents_is_called_quiet() -> None:
    found = unusual_volume(hourly_usage(8, planted=(), seed=2).set_index("time"))
    assert found.table.empty
    assert found.words == "Unusual requests: none in 1,344 hours."


def test_an_unusual_hour_comes_with_what_is_usual_then() -> None:
    hourly = hourly_usage(10, planted=PLANTED[1:2])
    found = unusual_volume(hourly.set_index("time"))
    rush = hourly.iloc[PLANTED[1].first : PLANTED[1].first + PLANTED[1].hours]
    rows = found.table.set_index("time").loc[rush["time"]]
    assert rows["value"].tolist() == rush["requests"].tolist()
    assert (rows["value"] / rows["usual"]).between(2, 4).all()
    assert re.search("[23] hours of 1,680 hours; the clearest on Thursday", found.words)


def test_growth_and_weekends_are_no_news() -> None:
    hourly = hourly_usage(12, planted=(), growth_per_week=0.15, seed=2).set_index("time")
    assert len(unusual_volume(hourly).table) <= 1


def test_an_outage_is_unusually_few_and_failures_are_unusual_only_upwards() -> None:
    hourly = hourly_usage(10, planted=PLANTED[:1]).set_index("time")
    outage = hourly.index[PLANTED[0].first : PLANTED[0].first + PLANTED[0].hours]
    assert (unusual_volume(hourly).table.set_index("time").loc[outage, "score"] < 0).all()
    flawless = hourly_usage(10, planted=()).assign(failures=0.0).set_index("time")
    assert unusual_error_rate(flawless).table.empty


def test_hours_with_few_answers_do_not_count_for_latency() -> None:
    hourly = hourly_usage(8, planted=(), seed=4)
    hourly.loc[500, ["requests", "p95"]] = (3, 600.0)
    assert unusual_latency(hourly).table.empty


@pytest.mark.parametrize(("weeks", "there"), [(0, "0 days"), (1, "7 days"), (2, "14 days")])
def test_too_little_data_is_said_in_words(weeks: int, there: str) -> None:
    hourly = hourly_usage(weeks, planted=()).assign(requests=100.0)
    by_time = complete(hourly, ("requests", "failures"), grain="hour")
    for found in (unusual_volume(by_time), unusual_latency(hourly), unusual_error_rate(by_time)):
        assert f"3 weeks of hours are needed to know what is usual; there are {there}." in found.words
        assert found.table.empty
        assert list(found.table) == ["time", "value", "usual", "score"]


def test_series_have_no_gaps_and_no_unfinished_step() -> None:
    times = pd.to_datetime(["2026-03-28 23:00", "2026-03-29 04:00", "2026-03-29 04:00"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"time": times, "requests": [1, 2, 3]})
    hours = complete(frame, grain="hour")
    assert hours["requests"].tolist() == [1, 0, 0, 0, 5]  # the clocks skip an hour in this night
    days = complete(frame, grain="day", until=pd.Timestamp("2026-03-29 12:00", tz="Europe/Berlin"))
    assert days["requests"].tolist() == [1]
    assert np.isclose(complete(frame, grain="day")["requests"].sum(), 6)
