"""Hours that differ from what is usual in the same hour of the week.

Every hour is compared with the same hour of the week (168 of them) in up to eight weeks before and after it, on a
scale on which chance has the same spread everywhere. The usual value is a median and the spread a median absolute
deviation, so that the unusual hours themselves do not move what counts as usual.

- Counts: 2·sqrt(x + 3/8) has a variance of 1 where requests come independently of each other (F. J. Anscombe, "The
  transformation of Poisson, binomial and negative-binomial data", Biometrika 35, 1948).
- Shares: 2·sqrt(n + 1/2)·asin(sqrt((x + 3/8) / (n + 3/4))), from the same paper.
- Times: the logarithm.
- Spread: 1.4826 times the median absolute deviation (P. J. Rousseeuw, C. Croux, "Alternatives to the median absolute
  deviation", JASA 88, 1993), of the hour of the week, drawn towards that of all hours, and never below chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from litellm_hub.usage.insight.findings import Finding, some
from litellm_hub.usage.insight.series import HOURS_OF_WEEK, hour_of_week

THRESHOLD = 4.5
"""Spreads from the usual value at which an hour counts as unusual; chance of the normal kind hardly ever goes there."""

WEEKS_NEEDED = 3
_WEEKS = 8  # to either side
_COLUMNS = ("time", "measure", "value", "usual", "low", "high", "score")
_SHARED = 16  # so many hours' worth of the common spread goes into that of each hour of the week
_MOST_USUAL_DRIFT = 0.05  # a change of 5 % in a latency is never news

_Floats = npt.NDArray[np.float64]


def unusual_volume(hourly: pd.DataFrame, *, threshold: float = THRESHOLD) -> Finding:
    """Find hours with unusually many or few requests.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the column `requests`.
        threshold: Spreads from the usual value at which an hour counts.

    Returns:
        A row per unusual hour in order of time: `time`, `measure` ("requests"), `value`, `usual`, `low` and `high`
        (float64, the range in which it would have been usual) and `score` (float64, in spreads; below 0 for too few).
    """
    if short := _too_short(hourly, "requests"):
        return short
    requests = hourly["requests"].to_numpy()
    steady = 2 * np.sqrt(requests + 3 / 8)
    # Day and night differ by factors: their difference grows as the load grows, their ratio does not.
    usual, spread = _usual(steady, hourly.index, least=np.ones(len(steady)), by_ratio=True)

    def back(value: _Floats) -> _Floats:
        return cast(_Floats, np.maximum((np.maximum(value, 0) / 2) ** 2 - 3 / 8, 0))

    return _finding("requests", hourly.index, requests, steady, usual, spread, back, threshold)


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
        As `unusual_volume`, in seconds; `measure` is "latency".
    """
    enough = hourly.loc[(hourly["requests"] >= least_requests) & (hourly[value] > 0), ["time", value]]
    series = enough.set_index("time").resample("h").mean() if len(enough) else enough.set_index("time")
    if short := _too_short(series, "latency"):
        return short
    seconds = series[value].to_numpy(dtype="float64")
    steady = np.log(seconds)
    usual, spread = _usual(steady, series.index, least=np.full(len(steady), _MOST_USUAL_DRIFT))
    return _finding("latency", series.index, seconds, steady, usual, spread, np.exp, threshold)


def unusual_error_rate(hourly: pd.DataFrame, *, threshold: float = THRESHOLD) -> Finding:
    """Find hours in which an unusually large share of the requests failed.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the columns `requests` and `failures`.
        threshold: Spreads from the usual value at which an hour counts.

    Returns:
        As `unusual_volume`, as shares from 0 to 1 and only those above the usual; `measure` is "error rate".
    """
    if short := _too_short(hourly, "error rate"):
        return short
    requests, failures = hourly["requests"].to_numpy(), hourly["failures"].to_numpy()
    with np.errstate(invalid="ignore"):
        share = np.where(requests > 0, failures / requests, np.nan)
    angle = np.where(requests > 0, np.arcsin(np.sqrt((failures + 3 / 8) / (requests + 3 / 4))), np.nan)
    chance = 1 / (2 * np.sqrt(requests + 1 / 2))
    usual, spread = _usual(angle, hourly.index, least=chance)

    def back(value: _Floats) -> _Floats:
        inside = np.clip(value, 0, np.pi / 2)
        return cast(
            _Floats, np.clip((np.sin(inside) ** 2 * (requests + 3 / 4) - 3 / 8) / np.maximum(requests, 1), 0, 1)
        )

    return _finding("error rate", hourly.index, share, angle, usual, spread, back, threshold, only_above=True)


def _too_short(series: pd.DataFrame, measure: str) -> Finding | None:
    weeks = len(series) / HOURS_OF_WEEK
    if weeks >= WEEKS_NEEDED:
        return None
    had = some(len(series) / 24, "day") if len(series) else "none"
    words = f"Unusual {measure}: {WEEKS_NEEDED} weeks of hours are needed to know what is usual; there is {had}."
    return Finding(words, _no_rows(series.index))


def _usual(steady: _Floats, index: pd.Index, least: _Floats, *, by_ratio: bool = False) -> tuple[_Floats, _Floats]:
    """Return the usual value and the spread of each hour, on the steady scale; NaN where nothing compares."""
    series = pd.Series(steady)
    # The level of the week around, so that growth is not taken for news. Half weeks would mix up days and weekends.
    level = series.rolling(HOURS_OF_WEEK, center=True, min_periods=HOURS_OF_WEEK // 4).median()
    half = HOURS_OF_WEEK // 2
    level.iloc[:half] = level.iloc[-half:] = np.nan
    level = level.bfill().ffill()
    shape = series / level if by_ratio else series - level
    others = [shape.shift(HOURS_OF_WEEK * week) for week in range(-_WEEKS, _WEEKS + 1) if week]
    table = np.column_stack(others)
    with np.errstate(all="ignore"):
        comparable = np.isfinite(table).sum(axis=1) >= WEEKS_NEEDED - 1
        middle = np.full(len(table), np.nan)
        middle[comparable] = np.nanmedian(table[comparable], axis=1)
    usual = level.to_numpy() * middle if by_ratio else level.to_numpy() + middle
    off = pd.Series(np.abs(steady - usual) / least)
    slots = hour_of_week(pd.DatetimeIndex(index))
    common = off.median()
    own = off.groupby(slots).transform("median").fillna(common)
    counted = off.groupby(slots).transform("count")
    spread = 1.4826 * np.sqrt((counted * own**2 + _SHARED * common**2) / (counted + _SHARED))
    return usual, np.maximum(np.asarray(spread), 1) * least


def _finding(
    measure: str,
    index: pd.Index,
    value: _Floats,
    steady: _Floats,
    usual: _Floats,
    spread: _Floats,
    back: Callable[[_Floats], _Floats],
    threshold: float,
    *,
    only_above: bool = False,
) -> Finding:
    score = (steady - usual) / spread
    table = pd.DataFrame(
        {
            "time": index,
            "measure": measure,
            "value": value,
            "usual": back(usual),
            "low": back(usual - threshold * spread),
            "high": back(usual + threshold * spread),
            "score": score,
        }
    )
    unusual = table[(score > threshold) | ((score < -threshold) & (not only_above))].reset_index(drop=True)
    return Finding(_words(measure, unusual, len(table)), unusual)


def _words(measure: str, unusual: pd.DataFrame, hours: int) -> str:
    if unusual.empty:
        return f"Unusual {measure}: none in {some(hours, 'hour')}."
    stretches = int((unusual["time"].diff() > pd.Timedelta(hours=2)).sum()) + 1
    worst = unusual.iloc[int(np.argmax(unusual["score"].abs()))]
    when = worst["time"].strftime("%A %Y-%m-%d %H:%M")
    at_once = "1 stretch" if stretches == 1 else f"{stretches:,} stretches"
    clearest = f"the clearest on {when}: {worst['value']:,.3g} where {worst['usual']:,.3g} is usual"
    return f"Unusual {measure}: {some(len(unusual), 'hour')} in {at_once} of {some(hours, 'hour')}; {clearest}."


def _no_rows(index: pd.Index) -> pd.DataFrame:
    columns = {name: pd.Series(dtype="float64") for name in _COLUMNS}
    columns["time"] = pd.Series(dtype=index.dtype if isinstance(index, pd.DatetimeIndex) else "datetime64[us, UTC]")
    columns["measure"] = pd.Series(dtype="str")
    return pd.DataFrame(columns)
