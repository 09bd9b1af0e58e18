"""Hourly usage whose truth is known, to try the analyses on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Planted:
    """An incident of the made-up log.

    Attributes:
        measure: "requests", "latency" or "error rate".
        first: Index of its first hour.
        hours: How many hours it lasts.
        factor: What the measure is multiplied by; an error rate is set to it.
    """

    measure: str
    first: int
    hours: int
    factor: float


PLANTED = (
    Planted("requests", 3 * 168 + 34, 3, 0.05),  # a Tuesday from 10 o'clock: an outage
    Planted("requests", 6 * 168 + 85, 2, 3.0),  # a Thursday from 13 o'clock: a class
    Planted("latency", 4 * 168 + 60, 4, 2.5),  # a Wednesday from 12 o'clock: a slow disk
    Planted("error rate", 7 * 168 + 11, 3, 0.4),  # a Monday from 11 o'clock: a model that does not load
)


def hourly_usage(
    weeks: int = 10,
    *,
    busiest: float = 120.0,
    growth_per_week: float = 0.03,
    planted: tuple[Planted, ...] = PLANTED,
    seed: int = 1,
) -> pd.DataFrame:
    """Make up hours of usage: days, weekends and growth, with more spread than chance alone has.

    Args:
        weeks: Length, from Monday, 5 January 2026 (UTC).
        busiest: Mean requests in the busiest hour of the first week.
        growth_per_week: Growth in a week, as a share.
        planted: Incidents.
        seed: Of the random numbers.

    Returns:
        A row per hour: `time`, `requests`, `failures` (float64) and `p95` (float64, seconds).
    """
    dice = np.random.default_rng(seed)
    time = pd.date_range("2026-01-05", periods=weeks * 168, freq="h", tz="UTC")
    day = 0.1 + 0.9 * np.exp(-(((time.hour.to_numpy() - 14) / 4.5) ** 2))
    weekend = np.where(time.day_of_week.to_numpy() >= 5, 0.35, 1.0)
    mean = busiest * day * weekend * (1 + growth_per_week) ** (np.arange(len(time)) / 168)
    requests = mean * dice.gamma(60, 1 / 60, len(time))
    latency = 2.0 + 3.0 * day * dice.lognormal(0, 0.08, len(time))
    failing = np.full(len(time), 0.02)
    for each in planted:
        hours = slice(each.first, each.first + each.hours)
        if each.measure == "requests":
            requests[hours] *= each.factor
        elif each.measure == "latency":
            latency[hours] *= each.factor
        else:
            failing[hours] = each.factor
    counted = dice.poisson(requests)
    failures = dice.binomial(counted, failing)
    columns = {"requests": counted.astype(float), "failures": failures.astype(float), "p95": latency}
    return pd.DataFrame({"time": time, **columns})
