"""When the lab will be too small, and what it takes then.

What counts is the busy hour: the load that 5 % of a week's hours exceed, about eight of them. It grows by a steady
share per week, estimated by the median of all pairwise slopes of its logarithm (P. K. Sen, "Estimates of the regression
coefficient based on Kendall's tau", JASA 63, 1968), which single odd weeks do not move. `queueing` turns the load into
waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import theilslopes

from litellm_hub.usage.insight.findings import Finding, some
from litellm_hub.usage.insight.queueing import INDEPENDENT, Bursts, Service, slots_needed, wait
from litellm_hub.usage.insight.series import HOURS_OF_WEEK

BUSY_HOUR = 0.95
"""Share of a week's hours that are quieter than its busy hour."""

WEEKS_NEEDED = 4
_MOST_WEEKS = 26  # the growth of half a year ago says little about the next month
_FURTHEST = 104  # weeks
_COLUMNS = ["time", "arrivals_per_s", "utilisation", "wait_s", "slots_needed", "hosts_needed"]
_LEVEL = 0.9  # of the range around the growth


@dataclass(frozen=True)
class Growth:
    """How the load grows.

    Attributes:
        busy_hour: Requests in the busy hour of the last week, on the fitted line.
        per_week: Growth in a week, as a share (0.05: 5 % more each week); below 0 for less.
        low: Lower end of the 90 % range of `per_week`.
        high: Upper end.
        weeks: Whole weeks that it was estimated from.
        last: When the last of them ended.
    """

    busy_hour: float
    per_week: float
    low: float
    high: float
    weeks: int
    last: pd.Timestamp


def growth(hourly: pd.DataFrame) -> Growth | None:
    """Estimate how the busy hour grows.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the column `requests`.

    Returns:
        The growth, or None where there are fewer than four whole weeks with requests.
    """
    weeks = min(len(hourly) // HOURS_OF_WEEK, _MOST_WEEKS)
    requests = hourly["requests"].to_numpy()[len(hourly) - weeks * HOURS_OF_WEEK :]
    busy = np.quantile(requests.reshape(weeks, HOURS_OF_WEEK), BUSY_HOUR, axis=1) if weeks else np.empty(0)
    number = np.flatnonzero(busy > 0)
    if len(number) < WEEKS_NEEDED:
        return None
    slope, start, low, high = theilslopes(np.log(busy[number]), number, alpha=_LEVEL)
    now = math.exp(start + slope * (weeks - 1))
    last = hourly.index[-1] + pd.Timedelta(hours=1)
    return Growth(now, math.expm1(slope), math.expm1(low), math.expm1(high), len(number), last)


NO_ANSWERS = Finding("Capacity: no answers were measured yet, so that nobody knows how long one takes.", pd.DataFrame())


def service_times(hourly: pd.DataFrame) -> Service | None:
    """Estimate how long answers take once a slot is free, from hours in which hardly any had to wait.

    Args:
        hourly: Frame of `usage.latency(…, by=(), grain="hour")`: `requests`, `p50`, `p95` (seconds).

    Returns:
        The service times of the quieter half of the hours; None where there are no answers.
    """
    measured = hourly[(hourly["p50"] > 0) & (hourly["requests"] > 0)]
    quiet = measured[measured["requests"] <= measured["requests"].median()]
    if quiet.empty:
        return None
    # Weighted by its requests: an hour of one answer says little.
    p50, p95 = (float(np.average(np.log(quiet[name]), weights=quiet["requests"])) for name in ("p50", "p95"))
    return Service.from_percentiles(math.exp(p50), math.exp(max(p50, p95)))


def capacity(
    hourly: pd.DataFrame,
    service: Service,
    slots: int,
    *,
    limit_s: float = 2.0,
    share: float = 0.5,
    bursts: Bursts = INDEPENDENT,
    slots_per_host: int | None = None,
) -> Finding:
    """Tell when the wait in the busy hour passes a limit if the load grows on as it did.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the column `requests`: those that one model (or all
            that share the slots) had to answer.
        service: How long answers take once a slot is free.
        slots: Requests that are answered at the same time today.
        limit_s: Longest acceptable wait, in seconds.
        share: Share of the requests that must stay within it; 0.5 is the median.
        bursts: How requests come within the hour; default: independently of each other.
        slots_per_host: Slots of one host; default: `slots`, so that today's lab is one host.

    Returns:
        A row per week from now until the limit is passed: `time`, `arrivals_per_s`, `utilisation`, `wait_s` (float64,
        seconds; infinite where the queue never ends), `slots_needed`, `hosts_needed` (int64).
    """
    found = growth(hourly)
    if found is None:
        there = some(len(hourly) // HOURS_OF_WEEK, "whole week") if len(hourly) else "none"
        words = f"Capacity: {WEEKS_NEEDED} whole weeks with requests are needed to see a growth; there is {there}."
        return Finding(words, pd.DataFrame(columns=_COLUMNS))
    aim = _Aim(service, slots, limit_s, share, bursts, slots_per_host or slots)
    weeks = aim.weeks_until(found.busy_hour, found.per_week)
    table = aim.weeks(found, 1 + (_FURTHEST if weeks is None else math.ceil(weeks)))
    return Finding(_words(found, aim, weeks, table), table)


def scenarios(
    busy_hour: float, service: Service, slots: Sequence[int] | None = None, *, bursts: Bursts = INDEPENDENT
) -> pd.DataFrame:
    """Compare numbers of slots in the same busy hour.

    Args:
        busy_hour: Requests in that hour.
        service: How long answers take.
        slots: The numbers to compare. Default: six, from the last that cannot keep up (at least 1).
        bursts: How requests come within the hour; default: independently of each other.

    Returns:
        A row per number: `slots` (int64), `utilisation`, `waiting` (share of the requests), `median_s`, `p95_s`
        (float64, seconds; infinite where the queue never ends).
    """
    rate = busy_hour / 3600
    if slots is None:
        first = max(int(rate * service.mean_s), 1)
        slots = range(first, first + 6)
    waits = [wait(rate, service, number, bursts) for number in slots]
    return pd.DataFrame(
        {
            "slots": pd.Series(slots, dtype="int64"),
            "utilisation": pd.Series([each.utilisation for each in waits], dtype="float64"),
            "waiting": pd.Series([each.probability for each in waits], dtype="float64"),
            "median_s": pd.Series([each.quantile(0.5) for each in waits], dtype="float64"),
            "p95_s": pd.Series([each.quantile(0.95) for each in waits], dtype="float64"),
        }
    )


@dataclass(frozen=True)
class _Aim:
    """What is there, and what is asked of it: the arguments of `capacity`."""

    service: Service
    slots: int
    limit_s: float
    share: float
    bursts: Bursts
    slots_per_host: int

    def weeks_until(self, busy_hour: float, per_week: float) -> float | None:
        """Return the weeks until the limit is passed, by bisection; None if not within two years."""

        def passed(weeks: float) -> bool:
            rate = busy_hour / 3600 * (1 + per_week) ** weeks
            return wait(rate, self.service, self.slots, self.bursts).quantile(self.share) > self.limit_s

        if passed(0):
            return 0.0
        if per_week <= 0 or not passed(_FURTHEST):
            return None
        low, high = 0.0, float(_FURTHEST)
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (low, middle) if passed(middle) else (middle, high)
        return high

    def weeks(self, found: Growth, number: int) -> pd.DataFrame:
        """Return the table of the first `number` weeks from now."""
        rows = []
        for week in range(number):
            rate = found.busy_hour / 3600 * (1 + found.per_week) ** week
            then = wait(rate, self.service, self.slots, self.bursts)
            needed = slots_needed(rate, self.service, self.limit_s, share=self.share, bursts=self.bursts)
            hosts = math.ceil(needed / self.slots_per_host)
            time = found.last + pd.Timedelta(weeks=week)
            rows.append((time, rate, then.utilisation, then.quantile(self.share), needed, hosts))
        return pd.DataFrame(rows, columns=_COLUMNS)


def _words(found: Growth, aim: _Aim, weeks: float | None, table: pd.DataFrame) -> str:
    name = "median wait" if aim.share == 0.5 else f"wait that {aim.share:.0%} of the requests stay within"
    what = f"the {name} in the busy hour ({found.busy_hour:,.0f} requests)"
    rate = f"{found.per_week:+.1%} a week, 90 % range {found.low:+.1%} to {found.high:+.1%}"
    limit = f"{aim.limit_s:g} s"
    last = table.iloc[-1]
    takes = f"takes {some(last['slots_needed'], 'slot')} on {some(last['hosts_needed'], 'host')}"
    if weeks == 0:
        return f"Capacity: {what} is above {limit} already; it {takes}. Growth: {rate}."
    bounds = [aim.weeks_until(found.busy_hour, growing) for growing in (found.high, found.low)]
    soonest, latest = ("more than 2 years" if at is None else f"{at * 7:,.0f}" for at in bounds)
    if weeks is None:
        may = "" if bounds[0] is None else f" At the upper end of the range it does so in {soonest} days."
        return f"Capacity: at this growth ({rate}) {what} does not pass {limit} within two years.{may}"
    when = f"{weeks * 7:,.0f} days ({soonest} to {latest})"
    return f"Capacity: at this growth ({rate}) {what} passes {limit} in {when}; it then {takes}."
