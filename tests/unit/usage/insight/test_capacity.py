"""When the lab will be too small, from series whose growth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from litellm_hub.usage.insight import Service, capacity, growth, scenarios, service_times, slots_needed, wait
from litellm_hub.usage.insight.synthetic import hourly_usage


def hourly(weeks: int = 12, rate: float = 0.05, seed: int = 1) -> pd.DataFrame:
    return hourly_usage(weeks, planted=(), growth_per_week=rate, seed=seed).set_index("time")


@pytest.mark.parametrize("rate", [-0.04, 0.0, 0.08])
def test_growth_is_estimated_with_a_range_around_the_truth(rate: float) -> None:
    found = growth(hourly(rate=rate))
    assert found is not None
    assert found.low < rate < found.high
    assert found.per_week == pytest.approx(rate, abs=0.015)
    assert found.weeks == 12


def test_one_odd_week_does_not_move_the_growth() -> None:
    odd = hourly()
    odd.iloc[168 * 8 : 168 * 9] *= 6
    found = growth(odd)
    assert found is not None
    assert found.per_week == pytest.approx(0.05, abs=0.02)


def test_the_day_that_the_wait_passes_the_limit_is_right_for_steady_growth() -> None:
    service = Service(20.0, 1.0)
    found = capacity(hourly(), service, 2, limit_s=2.0)
    now = growth(hourly())
    assert now is not None
    # Straight from the growth: the first week in whose busy hour two slots are too few.
    weeks = next(
        week
        for week in np.arange(0, 104, 1 / 70)
        if wait(now.busy_hour / 3600 * (1 + now.per_week) ** week, service, 2).quantile(0.5) > 2
    )
    assert f"passes 2 s in {weeks * 7:,.0f} days (" in found.words
    last = found.table.iloc[-1]
    assert last["wait_s"] > 2
    assert found.table["wait_s"].iloc[:-1].max() <= 2
    assert last["slots_needed"] == 3
    assert last["hosts_needed"] == 2
    assert (found.table["slots_needed"].iloc[:-1] <= 2).all()


def test_a_lab_that_is_too_small_already_is_told_so() -> None:
    found = capacity(hourly(), Service(60.0, 1.0), 2, slots_per_host=4)
    assert "is above 2 s already" in found.words
    now = growth(hourly())
    assert now is not None
    needed = slots_needed(now.busy_hour / 3600, Service(60.0, 1.0), 2.0)
    assert f"it takes {needed} slots on {-(-needed // 4)} hosts." in found.words


def test_a_lab_that_does_not_grow_keeps_its_size() -> None:
    found = capacity(hourly(rate=-0.04), Service(5.0, 1.0), 2)
    assert "does not pass 2 s within two years." in found.words
    assert (found.table["wait_s"] <= 2).all()


@pytest.mark.parametrize("weeks", [0, 1, 3])
def test_too_few_weeks_are_said_in_words(weeks: int) -> None:
    found = capacity(hourly(4).head(weeks * 168), Service(5.0, 1.0), 2)
    assert "4 whole weeks with requests are needed" in found.words
    assert found.table.empty


def test_scenarios_compare_slots_in_the_same_hour() -> None:
    found = scenarios(360, Service(36.0, 1.0), [2, 4, 8])
    assert found["utilisation"].tolist() == [1.8, 0.9, 0.45]
    assert found["median_s"].iloc[0] == np.inf
    assert found["p95_s"].is_monotonic_decreasing


@pytest.mark.parametrize(("busy_hour", "first"), [(360, 3), (10, 1)])
def test_scenarios_begin_where_slots_cannot_keep_up(busy_hour: float, first: int) -> None:
    found = scenarios(busy_hour, Service(36.0, 1.0))
    assert found["slots"].tolist() == list(range(first, first + 6))
    assert found["utilisation"].iloc[1] < 1


def test_service_times_come_from_the_quieter_hours() -> None:
    quiet, busy = {"requests": 10, "p50": 2.0, "p95": 6.0}, {"requests": 90, "p50": 9.0, "p95": 40.0}
    found = service_times(pd.DataFrame([quiet] * 6 + [busy] * 4))
    expected = Service.from_percentiles(2.0, 6.0)
    assert found is not None
    assert (found.mean_s, found.scv) == (pytest.approx(expected.mean_s), pytest.approx(expected.scv))


def test_without_answers_nobody_knows_how_long_one_takes() -> None:
    assert service_times(pd.DataFrame({"requests": [], "p50": [], "p95": []})) is None
