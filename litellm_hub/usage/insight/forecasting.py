"""The coming hours or days, with a range.

The series' logarithm is split into season, trend and rest (STL: R. B. Cleveland et al., "STL: A seasonal-trend
decomposition procedure based on loess", Journal of Official Statistics 6, 1990); what is left without the season is
continued by exponential smoothing with a damped trend, and the last season is added again (R. J. Hyndman,
G. Athanasopoulos, "Forecasting: principles and practice", 3rd ed., section 5.7). How far off such forecasts were at
earlier points of the same series gives the range: it asks for no distribution (split conformal prediction, V. Vovk et
al., "Algorithmic learning in a random world", 2005), and rare, large errors of the past widen it.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.seasonal import STL

from litellm_hub.usage.insight.findings import Finding, some
from litellm_hub.usage.insight.series import HOURS_OF_WEEK, Grain

_SEASON: dict[Grain, int] = {"hour": HOURS_OF_WEEK, "day": 7}
SEASONS_NEEDED = 4
_ORIGINS = 6
_MOST_HISTORY: dict[Grain, int] = {"hour": HOURS_OF_WEEK * 12, "day": 7 * 104}

_Floats = npt.NDArray[np.float64]


def forecast(series: pd.Series, horizon: int, *, grain: Grain, coverage: float = 0.8) -> Finding:
    """Continue a series of counts or sums.

    Args:
        series: Values from 0 by time without gaps, such as a column of what `complete` returned.
        horizon: Steps to continue it by, 1 to a quarter of its length.
        grain: Length of a step.
        coverage: Share of the true values that are to lie in the range, between 0 and 1.

    Returns:
        A row per step: `time`, `expected`, `low`, `high` (float64).

    Raises:
        ValueError: `horizon` or `coverage` is out of range.
    """
    if horizon < 1 or not 0 < coverage < 1:
        raise ValueError(f"horizon is {horizon} and coverage {coverage}: give 1 or more, and a share between 0 and 1")
    season = _SEASON[grain]
    needed = max(SEASONS_NEEDED * season, 3 * horizon)
    if len(series) < needed:
        empty = pd.DataFrame({"time": series.index[:0], **dict.fromkeys(("expected", "low", "high"), 0.0)})
        words = f"A forecast needs {some(needed, f'whole {grain}')} of use; the log has {len(series):,} so far."
        return Finding(words, empty)
    steady = np.log1p(series.to_numpy(dtype="float64")[-_MOST_HISTORY[grain] :])
    ahead = _continue(steady, horizon, season)
    width = _width(steady, horizon, season, coverage)
    step = pd.DateOffset(days=1) if grain == "day" else pd.Timedelta(hours=1)
    times = [series.index[-1] + step * number for number in range(1, horizon + 1)]
    table = pd.DataFrame({"time": pd.DatetimeIndex(times)})
    for name, value in (("expected", ahead), ("low", ahead - width), ("high", ahead + width)):
        table[name] = np.maximum(np.expm1(value), 0)
    total, low, high = (table[name].sum() for name in ("expected", "low", "high"))
    words = (
        f"Forecast for the next {some(horizon, grain)}: {total:,.0f} in all, {coverage:.0%} range per {grain}"
        f" on average {low / horizon:,.0f} to {high / horizon:,.0f}."
    )
    return Finding(words, table)


def _continue(steady: _Floats, horizon: int, season: int) -> _Floats:
    # Loess at every tenth of a season, and straight lines between: as exact as needed, and many times as fast.
    jump = max(1, season // 10)
    if np.ptp(steady) == 0:
        return np.full(horizon, steady[-1])
    parts = STL(steady, period=season, robust=True, seasonal_jump=1, trend_jump=jump, low_pass_jump=jump).fit()
    rest = steady - parts.seasonal
    model = ETSModel(rest, error="add", trend="add", damped_trend=True, initialization_method="heuristic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an early stop is a slightly worse fit, seen in the range
        fit = model.fit(disp=False, maxiter=100)
    again = np.resize(parts.seasonal[-season:], horizon)
    return np.asarray(fit.forecast(horizon), dtype="float64") + again


def _width(steady: _Floats, horizon: int, season: int, coverage: float) -> _Floats:
    """Return half of the range at each step, from forecasts made at earlier points of the series."""
    last = len(steady) - horizon
    first = max(3 * season, last // 2)
    origins = np.unique(np.linspace(first, last, _ORIGINS).astype(int))
    errors = np.array([np.abs(steady[at : at + horizon] - _continue(steady[:at], horizon, season)) for at in origins])
    # Neighbouring steps share their errors: six origins alone give no quantile.
    pieces = np.array_split(np.arange(horizon), min(horizon, max(1, horizon // 7)))
    width = np.empty(horizon)
    for steps in pieces:
        width[steps] = np.quantile(errors[:, steps], coverage, method="higher")
    return np.maximum.accumulate(width)  # what lies further ahead is never surer
