"""How good the analyses are where the truth is known: `make bench-usage ARGS=--backtest`."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from vega_datasets import data

from benchmarks.usage.synthetic import PLANTED, Planted, hourly_usage
from benchmarks.usage.trace_formats import read_trace
from litellm_hub.usage.insight.anomalies import unusual_error_rate, unusual_latency, unusual_volume
from litellm_hub.usage.insight.capacity import median_wait
from litellm_hub.usage.insight.forecasting import forecast
from litellm_hub.usage.insight.series import HOURS_OF_WEEK, Grain

TRACE = Path(__file__).with_name("data") / "AzureLLMInferenceTrace_conv.csv.gz"
_SEASON: dict[Grain, int] = {"hour": HOURS_OF_WEEK, "day": 7}
_Floats = npt.NDArray[np.float64]


def incidents(logs: int = 5, *, planted: tuple[Planted, ...] = PLANTED, weeks: int = 10) -> pd.DataFrame:
    """Look for planted incidents in made-up logs.

    Args:
        logs: How many logs to make up.
        planted: Incidents of each.
        weeks: Length of each.

    Returns:
        A row per measure: `measure`, `hours` (all that were looked at), `planted`, `found` (incidents, of which at
        least one hour was found), `hours_planted`, `hours_found`, `false_alarms` (hours without incident; int64).
    """
    rows = []
    for seed in range(logs):
        hourly = hourly_usage(weeks, planted=planted, seed=seed)
        by_time = hourly.set_index("time")
        for found in (unusual_volume(by_time), unusual_latency(hourly), unusual_error_rate(by_time)):
            # A measure without anything unusual has no row to name it.
            rows.append((set(found.table["time"]), hourly["time"]))
    table = []
    for place, measure in enumerate(("requests", "latency", "error rate")):
        theirs = [each for each in planted if each.measure == measure]
        sums = np.zeros(5, dtype="int64")
        for found_at, time in rows[place::3]:
            true = [set(time[each.first : each.first + each.hours]) for each in theirs]
            every = set().union(*true) if true else set()
            hits = [len(hours & found_at) for hours in true]
            sums += [len(true), sum(hit > 0 for hit in hits), len(every), sum(hits), len(found_at - every)]
        table.append((measure, logs * weeks * HOURS_OF_WEEK, *sums))
    names = ["measure", "hours", "planted", "found", "hours_planted", "hours_found", "false_alarms"]
    return pd.DataFrame(table, columns=names)


def forecasts(
    series: pd.Series, horizon: int, *, grain: Grain, coverage: float = 0.8, origins: int = 8
) -> pd.DataFrame:
    """Forecast from several points of a series, and compare with what came.

    Args:
        series: As for `forecast`.
        horizon: Steps of each forecast.
        grain: Length of a step.
        coverage: Share of the true values that are to lie in the range.
        origins: How many points.

    Returns:
        A row per point: `time` (the first step forecast), `error` and `naive_error` (mean absolute error, of the
        forecast and of repeating the last season) and `covered` (share of the true values in the range; float64).

    Raises:
        ValueError: The series is too short.
    """
    season = _SEASON[grain]
    first, last = max(len(series) // 2, 4 * season, 3 * horizon), len(series) - horizon
    if last < first:
        raise ValueError(f"the series has {len(series)} steps: a back-test needs {first + horizon}")
    rows = []
    for origin in np.unique(np.linspace(first, last, origins).astype(int)):
        found = forecast(series[:origin], horizon, grain=grain, coverage=coverage).table
        true = series.to_numpy(dtype="float64")[origin : origin + horizon]
        naive = np.resize(series.to_numpy(dtype="float64")[origin - season : origin], horizon)
        covered = (true >= found["low"]) & (true <= found["high"])
        errors = [float(np.abs(true - guess).mean()) for guess in (found["expected"].to_numpy(), naive)]
        rows.append((series.index[origin], *errors, float(covered.mean())))
    return pd.DataFrame(rows, columns=["time", "error", "naive_error", "covered"])


def waits(arrivals_s: npt.ArrayLike, services_s: npt.ArrayLike, slots: Sequence[int]) -> pd.DataFrame:
    """Replay requests through a simulated queue, and compare with what `median_wait` expects.

    Args:
        arrivals_s: When each request came, in seconds, in order.
        services_s: How long each answer takes, in seconds.
        slots: Numbers of slots to try.

    Returns:
        A row per number: `slots` (int64), `simulated` and `expected` (median wait in seconds), `utilisation` (float64).
    """
    arrivals, services = np.asarray(arrivals_s, dtype="float64"), np.asarray(services_s, dtype="float64")
    rate, mean = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]), float(services.mean())
    simulated = [float(np.median(simulate(arrivals, services, number))) for number in slots]
    found = pd.DataFrame({"slots": list(slots), "simulated": simulated})
    expected = [median_wait(rate, mean, number) for number in slots]
    return found.assign(expected=expected, utilisation=rate * mean / found["slots"])


def simulate(arrivals: _Floats, services: _Floats, slots: int) -> _Floats:
    """Let requests queue for slots, first come, first served; return how long each waits, in seconds.

    Exact: J. Kiefer, J. Wolfowitz, "On the theory of queues with many servers", Transactions of the AMS 78, 1955.
    """
    free = [-math.inf] * slots
    found = np.empty(len(arrivals))
    for number, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        begin = max(arrival, free[0])
        heapq.heapreplace(free, begin + service)
        found[number] = begin - arrival
    return found


def of_the_trace(slots: Sequence[int]) -> pd.DataFrame:
    """`waits` of an hour of conversations with a service of Azure's, on slots that read 3,000 and write 40 tokens/s."""
    trace = list(read_trace(TRACE))
    services = [request.prompt_tokens / 3000 + request.completion_tokens / 40 for request in trace]
    return waits([request.arrived.timestamp() for request in trace], services, slots)


def report() -> str:
    """All back-tests as text."""
    daily = hourly_usage(30, planted=()).set_index("time")["requests"].resample("D").sum()
    real = data.seattle_temps().set_index("date")["temp"].resample("h").mean().interpolate()
    parts = {
        "Unusual hours, planted into five made-up logs of ten weeks": incidents(5),
        "The same without incidents: every find is a false alarm": incidents(5, planted=()),
        "Forecasts of a made-up log, 14 days ahead (covered: near 0.8)": forecasts(daily, 14, grain="day", origins=4),
        "Forecasts of Seattle's temperature, 48 hours ahead": forecasts(real[: 168 * 12], 48, grain="hour", origins=3),
        "Median wait of a public trace, in seconds: bursts make it longer than expected": of_the_trace(range(31, 40)),
    }
    shown = {title: found.to_string(index=False, float_format="%.3f") for title, found in parts.items()}
    return "\n\n".join(f"{title}\n{table}" for title, table in shown.items())
