"""Hours that differ from what is usual in the same hour of the week.

Values are brought to a scale on which chance spreads alike everywhere: counts and shares as in F. J. Anscombe, "The
transformation of Poisson, binomial and negative-binomial data" (Biometrika 35, 1948), times by their logarithm. What is
usual is the level of the week around and the median of the same hour of all weeks; an hour's score is its distance from
that in spreads, which are 1.4826 times the median absolute deviation (B. Iglewicz, D. C. Hoaglin, "How to detect and
handle outliers", 1993) of its hour of the day, and never below chance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from litellm_hub.usage.insight.findings import Finding, some
from litellm_hub.usage.insight.series import HOURS_OF_WEEK, hour_of_week

THRESHOLD = 5.0
"""Spreads from the usual value at which an hour counts as unusual; chance of the normal kind hardly ever goes there."""
WEEKS_NEEDED = 3
_LEAST_DRIFT = 0.05  # a change of 5 % in a latency is never news


def unusual_volume(hourly: pd.DataFrame, *, threshold: float = THRESHOLD) -> Finding:
    """Find hours with unusually many or few requests.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the column `requests`.
        threshold: Spreads from the usual value at which an hour counts.

    Returns:
        A row per unusual hour in order of time: `time`, `value`, `usual` and `score` (float64, in spreads; below 0 for
        too few).
    """
    requests = hourly["requests"]
    # Day and night differ by factors: their difference grows as the load grows, their ratio does not.
    steady, usual, spread = _usual(2 * (requests + 3 / 8) ** 0.5, 1.0, by_ratio=True)
    return _finding("requests", requests, (usual / 2) ** 2 - 3 / 8, (steady - usual) / spread, threshold)


def unusual_latency(
    hourly: pd.DataFrame, *, value: str = "p95", least_requests: int = 20, threshold: float = THRESHOLD
) -> Finding:
    """Find hours in which answers took unusually long or short.

    Args:
        hourly: Frame of `usage.latency(…, by=(), grain="hour")`: `time`, `requests` and percentiles in seconds.
        value: The percentile to look at.
        least_requests: Hours with fewer requests are left out: their percentiles are chance.
        threshold: Spreads from the usual value at which an hour counts.

    Returns:
        As `unusual_volume`, in seconds.
    """
    enough = hourly[(hourly["requests"] >= least_requests) & (hourly[value] > 0)].set_index("time")[value]
    seconds = enough.resample("h").mean() if len(enough) else enough
    steady, usual, spread = _usual(seconds.astype("float64").map(np.log), _LEAST_DRIFT)
    return _finding("latency", seconds, np.exp(usual), (steady - usual) / spread, threshold)


def unusual_error_rate(hourly: pd.DataFrame, *, threshold: float = THRESHOLD) -> Finding:
    """Find hours in which an unusually large share of the requests failed.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the columns `requests` and `failures`.
        threshold: Spreads from the usual value at which an hour counts.

    Returns:
        As `unusual_volume`, as shares from 0 to 1 and only those above the usual.
    """
    requests = hourly["requests"].where(hourly["requests"] > 0)
    angle = ((hourly["failures"] + 3 / 8) / (requests + 3 / 4)).pow(0.5).map(np.arcsin)
    steady, usual, spread = _usual(angle, 0.5 / (requests + 1 / 2) ** 0.5)
    score = ((steady - usual) / spread).clip(lower=0)
    return _finding("error rate", hourly["failures"] / requests, np.sin(usual) ** 2, score, threshold)


def _usual(
    steady: pd.Series, chance: pd.Series | float, *, by_ratio: bool = False
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return the series, its usual value and its spread at each hour, on the steady scale."""
    slots = np.asarray(hour_of_week(pd.DatetimeIndex(steady.index)))
    # The level of the week around, so that growth is not taken for news. Half weeks would mix up days and weekends.
    level = steady.rolling(HOURS_OF_WEEK, center=True, min_periods=HOURS_OF_WEEK // 4).median()
    half = HOURS_OF_WEEK // 2
    level.iloc[:half] = level.iloc[-half:] = np.nan
    level = level.bfill().ffill()
    shape = (steady / level if by_ratio else steady - level).groupby(slots).transform("median")
    usual = level * shape if by_ratio else level + shape
    off = (steady - usual).abs() / chance
    # Of the hour of the day: an hour of the week comes too rarely to have a spread of its own.
    spread = 1.4826 * off.groupby(slots % 24).transform("median")
    return steady, usual, spread.clip(lower=1) * chance


def _finding(measure: str, value: pd.Series, usual: pd.Series, score: pd.Series, threshold: float) -> Finding:
    frame = pd.DataFrame({"value": value, "usual": usual, "score": score}).rename_axis("time").reset_index()
    unusual = frame[frame["score"].abs() > threshold].reset_index(drop=True)
    if len(frame) < WEEKS_NEEDED * HOURS_OF_WEEK:
        there = some(len(frame) // 24, "day")
        words = f"{WEEKS_NEEDED} weeks of hours are needed to know what is usual; there are {there}."
        return Finding(f"Unusual {measure}: {words}", frame.head(0))
    if unusual.empty:
        return Finding(f"Unusual {measure}: none in {some(len(frame), 'hour')}.", unusual)
    worst = unusual.iloc[int(unusual["score"].abs().argmax())]
    clearest = f"the clearest on {worst['time']:%A %Y-%m-%d %H:%M}: {worst['value']:,.3g}, usual {worst['usual']:,.3g}"
    return Finding(
        f"Unusual {measure}: {some(len(unusual), 'hour')} of {some(len(frame), 'hour')}; {clearest}.", unusual
    )
