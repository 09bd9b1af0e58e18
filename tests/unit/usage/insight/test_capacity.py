"""When the lab will be too small, from series whose growth is known, and waits that Erlang's tables give."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.usage.synthetic import hourly_usage
from litellm_hub.usage.insight import capacity, median_wait, service_time, slots_needed


def hourly(weeks: int = 12, rate: float = 0.05) -> pd.DataFrame:
    return hourly_usage(weeks, planted=(), growth_per_week=rate).set_index("time")


@pytest.mark.parametrize(("load", "slots"), [(0.6, 1), (3.6, 4), (19.0, 20), (0.1, 2), (2.0, 2)])
def test_half_of_the_requests_wait_as_long_as_erlang_says(load: float, slots: int) -> None:
    terms = [load**number / math.factorial(number) for number in range(slots)]
    last = load**slots / math.factorial(slots) * slots / (slots - load) if load < slots else math.inf
    waiting = last / (sum(terms) + last) if load < slots else 1.0
    expected = math.inf if load >= slots else max(0.0, 5 / (slots - load) * math.log(2 * waiting))
    assert median_wait(load / 5, 5.0, slots) == pytest.approx(expected)


@given(rate=st.floats(1e-4, 5), service=st.floats(0.01, 60), limit=st.floats(0, 100))
def test_the_slots_needed_suffice_and_one_less_does_not(rate: float, service: float, limit: float) -> None:
    slots = slots_needed(rate, service, limit)
    assert median_wait(rate, service, slots) <= limit
    assert slots == 1 or median_wait(rate, service, slots - 1) > limit


def test_a_limit_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds from 0"):
        slots_needed(1, 1, -1)


@pytest.mark.parametrize("odd", [1, 6])
def test_the_day_that_the_wait_passes_the_limit_is_right_for_steady_growth(odd: int) -> None:
    load = hourly()
    load.iloc[168 * 8 : 168 * 9] *= odd  # one odd week does not move the growth
    found = capacity(load, 20.0, 2)
    growth, busy = re.findall(r"\+([\d.]+)% a week .* \(([\d,]+) requests\)", found.words)[0]
    assert float(growth) == pytest.approx(5, abs=2)
    last = found.table.iloc[-1]
    rate = float(busy) / 3600 * (1 + float(growth) / 100) ** (len(found.table) - 1)
    assert last["arrivals_per_s"] == pytest.approx(rate, rel=0.02)
    assert last["wait_s"] == median_wait(last["arrivals_per_s"], 20.0, 2) > 2
    assert found.table["wait_s"].iloc[:-1].max() <= 2
    assert f"passes 2 s by {last['time']:%Y-%m-%d}; it then takes 3 slots on 2 hosts." in found.words
    assert (found.table["slots_needed"].iloc[:-1] <= 2).all()


def test_a_lab_that_is_too_small_already_is_told_so() -> None:
    found = capacity(hourly(), 60.0, 2, slots_per_host=4)
    (now,) = found.table.to_dict("records")
    assert now["slots_needed"] == slots_needed(now["arrivals_per_s"], 60.0, 2.0)
    assert now["hosts_needed"] == -(-now["slots_needed"] // 4)
    assert f"is above 2 s already; it takes {now['slots_needed']} slots on 2 hosts." in found.words


def test_a_lab_that_does_not_grow_keeps_its_size() -> None:
    found = capacity(hourly(rate=-0.04), 5.0, 2)
    assert "does not pass 2 s within two years." in found.words
    assert (found.table["wait_s"] <= 2).all()


@pytest.mark.parametrize(
    ("weeks", "service", "words"), [(0, 5.0, "there are 0."), (3, 5.0, "there are 3."), (12, None, "no answers yet")]
)
def test_too_few_weeks_or_answers_are_said_in_words(weeks: int, service: float | None, words: str) -> None:
    found = capacity(hourly(12).head(weeks * 168), service, 2)
    assert words in found.words
    assert found.table.empty


def test_the_service_time_comes_from_the_quieter_hours() -> None:
    quiet, busy = {"requests": 10, "mean": 2.5}, {"requests": 90, "mean": 11.0}
    assert service_time(pd.DataFrame([quiet] * 6 + [busy] * 4)) == 2.5
    assert service_time(pd.DataFrame({"requests": [], "mean": []})) is None
