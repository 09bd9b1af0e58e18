"""Forecasts follow what recurs, their range holds what it says, and short series give words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.usage.backtests import forecasts
from benchmarks.usage.synthetic import hourly_usage
from litellm_hub.usage.insight import forecast


def daily(weeks: int, seed: int = 1) -> pd.Series:
    return hourly_usage(weeks, planted=(), seed=seed).set_index("time")["requests"].resample("D").sum()


def test_a_forecast_knows_weekends() -> None:
    series = daily(12)
    found = forecast(series, 14, grain="day")
    assert found.table["time"].tolist() == list(pd.date_range(series.index[-1], periods=15, freq="D")[1:])
    weekend = found.table["time"].dt.day_of_week >= 5
    assert found.table["expected"][weekend].max() < 0.7 * found.table["expected"][~weekend].min()
    assert (found.table["low"] <= found.table["expected"]).all()
    assert (found.table["expected"] <= found.table["high"]).all()
    assert found.words.startswith("Forecast for the next 14 days: ")


def test_forecasts_beat_repeating_last_week_and_their_range_holds() -> None:
    found = forecasts(daily(30), 7, grain="day", origins=4)
    assert found["error"].mean() < found["naive_error"].mean()
    assert 0.6 <= found["covered"].mean() <= 1


def test_a_silent_series_stays_silent() -> None:
    series = pd.Series(0.0, pd.date_range("2026-01-05", periods=60, freq="D", tz="UTC"))
    assert np.allclose(forecast(series, 7, grain="day").table["expected"], 0, atol=1e-6)


@pytest.mark.parametrize("days", [0, 5, 27])
def test_a_short_series_is_said_in_words(days: int) -> None:
    found = forecast(daily(5).head(days), 7, grain="day")
    assert found.words == f"A forecast needs 28 whole days of use; the log has {days} so far."
    assert list(found.table) == ["time", "expected", "low", "high"]
    assert found.table.empty


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="coverage 1"):
        forecast(daily(8), 7, grain="day", coverage=1)
    with pytest.raises(ValueError, match="a back-test needs"):
        forecasts(daily(4), 14, grain="day")
