"""How good the analyses are where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from litellm_hub.usage.insight.anomalies import unusual_error_rate, unusual_latency, unusual_volume
from litellm_hub.usage.insight.forecasting import forecast
from litellm_hub.usage.insight.queueing import Bursts, Service, simulate, wait
from litellm_hub.usage.insight.series import HOURS_OF_WEEK, Grain
from litellm_hub.usage.insight.synthetic import PLANTED, Planted, hourly_usage

_SEASON: dict[Grain, int] = {"hour": HOURS_OF_WEEK, "day": 7}


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
    """Replay requests through a simulated queue, and compare with what `wait` expects.

    Args:
        arrivals_s: When each request came, in seconds, in order.
        services_s: How long each answer takes, in seconds.
        slots: Numbers of slots to try.

    Returns:
        A row per number: `slots` (int64), `utilisation`, and for `waiting` (share of the requests), `median_s` and
        `p95_s` (seconds) what was `…_simulated`, what is `…_expected`, and what would be were the requests independent
        of each other (`…_independent`; float64).
    """
    arrivals, services = np.asarray(arrivals_s, dtype="float64"), np.asarray(services_s, dtype="float64")
    rate = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    service, bursts = Service.from_times(services), Bursts.from_arrivals(arrivals)
    rows = []
    for number in slots:
        waited = simulate(arrivals, services, number)
        expected, independent = wait(rate, service, number, bursts), wait(rate, service, number)
        row: dict[str, float] = {"slots": number, "utilisation": expected.utilisation}
        row["waiting_simulated"] = float(np.mean(waited > 0))
        row["waiting_expected"], row["waiting_independent"] = expected.probability, independent.probability
        for name, share in (("median_s", 0.5), ("p95_s", 0.95)):
            row[f"{name}_simulated"] = float(np.quantile(waited, share))
            row[f"{name}_expected"] = expected.quantile(share)
            row[f"{name}_independent"] = independent.quantile(share)
        rows.append(row)
    return pd.DataFrame(rows)
