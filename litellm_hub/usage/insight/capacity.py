"""When the lab will be too small, and how many slots or hosts it takes then.

A runtime answers a fixed number of requests at a time, each in a slot; the others wait. How long is Erlang's formula
for the M/M/c queue (L. Kleinrock, "Queueing systems", volume 1, 1975, section 3.5): requests that come independently of
each other. Those that come in bursts wait longer, so take its figures as the least. What counts is the busy hour, the
load that 5 % of a week's hours exceed; it grows by the median of all pairwise slopes of its logarithm (P. K. Sen,
"Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968), which odd weeks do not move.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import theilslopes

from litellm_hub.usage.insight.findings import Finding, some
from litellm_hub.usage.insight.series import HOURS_OF_WEEK

WEEKS_NEEDED = 4
_MOST_WEEKS = 26  # the growth of half a year ago says little about the next month
_FURTHEST = 104  # weeks
_COLUMNS = ["time", "arrivals_per_s", "utilisation", "wait_s", "slots_needed", "hosts_needed"]


def median_wait(arrivals_per_s: float, service_s: float, slots: int) -> float:
    """Return the wait for a slot that half of the requests stay within, in seconds; infinite where slots are too few.

    Args:
        arrivals_per_s: Requests per second.
        service_s: Mean time that an answer takes once a slot is free, in seconds.
        slots: Requests that are answered at the same time.
    """
    load = arrivals_per_s * service_s
    if load >= slots:
        return math.inf
    blocked = 1.0  # Erlang's B, slot by slot
    for number in range(1, slots + 1):
        blocked = load * blocked / (number + load * blocked)
    waiting = blocked / (1 - load / slots * (1 - blocked))  # Erlang's C: the share that waits at all
    return service_s / (slots - load) * math.log(max(1.0, 2 * waiting))


def slots_needed(arrivals_per_s: float, service_s: float, limit_s: float) -> int:
    """Return the fewest slots with which half of the requests wait at most `limit_s` seconds; see `median_wait`.

    Raises:
        ValueError: `limit_s` is below 0.
    """
    if limit_s < 0:
        raise ValueError(f"limit_s is {limit_s}: give seconds from 0")
    slots = math.floor(arrivals_per_s * service_s) + 1
    while median_wait(arrivals_per_s, service_s, slots) > limit_s:
        slots += 1
    return slots


def service_time(hourly: pd.DataFrame) -> float | None:
    """Return the mean time that an answer takes once a slot is free, in seconds: that of the quieter half of the hours.

    Args:
        hourly: Frame of `usage.latency(…, by=(), grain="hour")`: `requests` and `mean` (seconds).

    Returns:
        The time; None where there are no answers.
    """
    measured = hourly[(hourly["mean"] > 0) & (hourly["requests"] > 0)]
    quiet = measured[measured["requests"] <= measured["requests"].median()]
    return None if quiet.empty else float(np.average(quiet["mean"], weights=quiet["requests"]))


def capacity(
    hourly: pd.DataFrame,
    service_s: float | None,
    slots: int,
    *,
    limit_s: float = 2.0,
    slots_per_host: int | None = None,
) -> Finding:
    """Tell when the median wait in the busy hour passes a limit if the load grows on as it did.

    Args:
        hourly: What `complete(…, grain="hour")` returned, with the column `requests`: those that one model (or all
            that share the slots) had to answer.
        service_s: What `service_time` returned, in seconds; None for not known.
        slots: Requests that are answered at the same time today.
        limit_s: Longest acceptable wait, in seconds.
        slots_per_host: Slots of one host; default: `slots`, so that today's lab is one host.

    Returns:
        A row per week from now until the limit is passed, two years at most: `time`, `arrivals_per_s`, `utilisation`,
        `wait_s` (float64, seconds; infinite where the queue only grows), `slots_needed`, `hosts_needed` (int64).
    """
    weeks = min(len(hourly) // HOURS_OF_WEEK, _MOST_WEEKS)
    requests = hourly["requests"].to_numpy()[len(hourly) - weeks * HOURS_OF_WEEK :]
    busy = np.quantile(requests.reshape(weeks, HOURS_OF_WEEK), 0.95, axis=1) if weeks else np.empty(0)
    used = np.flatnonzero(busy > 0)
    if service_s is None:
        return Finding("Capacity: no answers yet that tell how long one takes.", pd.DataFrame(columns=_COLUMNS))
    if len(used) < WEEKS_NEEDED:
        there = f"{WEEKS_NEEDED} whole weeks with requests are needed to see a growth, there are {len(used)}"
        return Finding(f"Capacity: {there}.", pd.DataFrame(columns=_COLUMNS))
    slope, start, low, high = theilslopes(np.log(busy[used]), used, alpha=0.9)
    now = math.exp(start + slope * (weeks - 1)) / 3600
    rows = []
    for week in range(_FURTHEST + 1):
        rate = now * math.exp(slope * week)
        wait, need = median_wait(rate, service_s, slots), slots_needed(rate, service_s, limit_s)
        time = hourly.index[-1] + pd.Timedelta(hours=1, weeks=week)
        rows.append((time, rate, rate * service_s / slots, wait, need, math.ceil(need / (slots_per_host or slots))))
        if wait > limit_s:
            break
    table = pd.DataFrame(rows, columns=_COLUMNS)
    last = table.iloc[-1]
    takes = f"takes {some(last['slots_needed'], 'slot')} on {some(last['hosts_needed'], 'host')}"
    if last["wait_s"] <= limit_s:
        answer = f"does not pass {limit_s:g} s within two years"
    elif len(table) == 1:
        answer = f"is above {limit_s:g} s already; it {takes}"
    else:
        answer = f"passes {limit_s:g} s by {last['time']:%Y-%m-%d}; it then {takes}"
    grows = f"{math.expm1(slope):+.1%} a week (90 % range {math.expm1(low):+.1%} to {math.expm1(high):+.1%})"
    what = f"the median wait in the busy hour ({now * 3600:,.0f} requests)"
    return Finding(f"Capacity: at a growth of {grows} {what} {answer}.", table)
