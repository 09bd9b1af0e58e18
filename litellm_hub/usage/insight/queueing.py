"""Waiting for a free slot: a formula for what is expected, and a simulation of what happens.

A model runtime answers a fixed number of requests at a time, each in a slot; the others wait in the order they came.

The formula is Allen and Cunneen's for G/G/c queues (A. O. Allen, "Probability, statistics, and queueing theory with
computer science applications", 2nd ed., 1990, section 5.3.5): Erlang's C gives the share of requests that wait, and the
mean wait is that of the M/M/c queue times half the sum of two variabilities, that of the arrivals and the squared
coefficient of variation of the service times. Those who wait do so for about an exponentially distributed time
(W. Whitt, "Approximations for the GI/G/m queue", Production and Operations Management 2, 1993).

Real arrivals come in bursts of every length, and which of them matter depends on how long a queue lasts. Their
variability is therefore the index of dispersion for counts over that time (K. W. Fendick, W. Whitt, "Measurements and
approximations to describe the offered traffic and predict the average workload in a single-server queue", Proceedings
of the IEEE 77, 1989), and bursts raise the share that waits as in Hayward's approximation (A. A. Fredericks,
"Congestion in blocking systems", Bell System Technical Journal 59, 1980): z-fold bursts on c slots are like single
requests on c/z slots.

The simulation is exact (J. Kiefer, J. Wolfowitz, "On the theory of queues with many servers", Transactions of the AMS
78, 1955).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc, gammaln

_P95 = 1.6448536269514722  # standard normal quantile
_MOST_SLOTS = 100_000
_LEAST_SPANS = 10  # spans that a variance is worth calculating of
_ROUNDS = 20


@dataclass(frozen=True)
class Service:
    """How long answers take once a slot is free.

    Attributes:
        mean_s: Mean, in seconds.
        scv: Squared coefficient of variation: variance over squared mean.
    """

    mean_s: float
    scv: float

    def __post_init__(self) -> None:
        if not (0 < self.mean_s < math.inf and 0 <= self.scv < math.inf):
            raise ValueError(f"mean_s is {self.mean_s} and scv {self.scv}: give seconds above 0, and 0 or more")

    @classmethod
    def from_percentiles(cls, p50: float, p95: float) -> Service:
        """Fit a log-normal distribution to two percentiles, measured while nothing had to wait.

        Args:
            p50: Median, in seconds, above 0.
            p95: 95th percentile, in seconds, at least `p50`.
        """
        if not 0 < p50 <= p95:
            raise ValueError(f"p50 is {p50} and p95 {p95}: give seconds above 0, the median first")
        sigma = math.log(p95 / p50) / _P95
        return cls(p50 * math.exp(sigma**2 / 2), math.exp(sigma**2) - 1)

    @classmethod
    def from_times(cls, seconds: Iterable[float]) -> Service:
        """Measure service times, in seconds; at least one."""
        times = np.fromiter(seconds, dtype="float64")
        return cls(float(times.mean()), float(times.var() / times.mean() ** 2))


@dataclass(frozen=True)
class Wait:
    """How long requests wait for a slot.

    Attributes:
        utilisation: Share of the slots' time that is asked for; from 1 on the queue grows without end.
        probability: Share of the requests that wait at all.
        mean_s: Mean wait of all requests, in seconds.
    """

    utilisation: float
    probability: float
    mean_s: float

    def quantile(self, share: float) -> float:
        """Return the wait that `share` (0 to 1) of the requests stay within, in seconds."""
        if self.utilisation >= 1:
            return math.inf
        if self.probability <= 1 - share:
            return 0.0
        return self.mean_s / self.probability * math.log(self.probability / (1 - share))


@dataclass(frozen=True)
class Bursts:
    """How much more than by chance arrivals cluster, over spans of different length.

    Attributes:
        spans_s: Lengths of the spans, in seconds, ascending.
        dispersion: Variance over mean of the arrivals within a span of that length: 1 where requests come
            independently of each other (Poisson), more where they come in bursts.
    """

    spans_s: tuple[float, ...] = (1.0,)
    dispersion: tuple[float, ...] = (1.0,)

    @classmethod
    def from_arrivals(cls, arrivals_s: npt.ArrayLike) -> Bursts:
        """Measure the bursts of arrival times, in seconds and in order: spans from a second to a tenth of the whole."""
        arrivals = np.asarray(arrivals_s, dtype="float64")
        whole = arrivals[-1] - arrivals[0] if len(arrivals) else 0.0
        if whole < _LEAST_SPANS:
            return cls()
        spans = 2.0 ** np.arange(0, math.floor(math.log2(whole / _LEAST_SPANS)) + 1)
        found = []
        for span in spans:
            counts = np.histogram(arrivals, np.arange(arrivals[0], arrivals[-1], span))[0]
            found.append(float(counts.var(ddof=1) / counts.mean()))
        return cls(tuple(spans.tolist()), tuple(found))

    def over(self, span_s: float) -> float:
        """Return the dispersion over a span of that many seconds; beyond the measured spans that of the nearest."""
        return float(np.interp(span_s, self.spans_s, self.dispersion))


INDEPENDENT = Bursts()
"""Requests that come independently of each other."""


def wait(arrivals_per_s: float, service: Service, slots: int, bursts: Bursts = INDEPENDENT) -> Wait:
    """Tell how long requests wait for a slot.

    Args:
        arrivals_per_s: Requests per second, 0 or more.
        service: How long answers take.
        slots: Requests that are answered at the same time, 1 or more.
        bursts: How the requests come.

    Returns:
        The wait; infinite where more is asked for than the slots can do.
    """
    if slots < 1 or not arrivals_per_s >= 0:
        raise ValueError(f"slots is {slots} and arrivals_per_s {arrivals_per_s}: give 1 or more, and 0 or more")
    load = arrivals_per_s * service.mean_s
    utilisation = load / slots
    if utilisation >= 1:
        return Wait(utilisation, 1.0, math.inf)
    if load == 0:
        return Wait(0.0, 0.0, 0.0)
    # The queue's memory: how long it takes to forget a burst, at least as long as those who wait do.
    span = service.mean_s / (slots * (1 - utilisation) ** 2)
    for _ in range(_ROUNDS):
        dispersion = bursts.over(span)
        probability = _erlang_c(slots / max(dispersion, 1), load / max(dispersion, 1))
        mean = probability * service.mean_s / (slots - load) * (dispersion + service.scv) / 2
        span = max(span, mean)
    return Wait(utilisation, probability, mean)


def _erlang_c(slots: float, load: float) -> float:
    """Return Erlang's probability of waiting, for whole and broken numbers of slots above `load`."""
    # 1/B = e^a a^-c Γ(c+1, a), D. L. Jagerman, "Some properties of the Erlang loss function", BSTJ 53, 1974.
    inverse = load - slots * math.log(load) + gammaln(slots + 1) + math.log(gammaincc(slots + 1, load))
    blocked = math.exp(-inverse)
    return float(blocked / (1 - load / slots * (1 - blocked)))


def slots_needed(
    arrivals_per_s: float, service: Service, limit_s: float, *, share: float = 0.5, bursts: Bursts = INDEPENDENT
) -> int:
    """Return the fewest slots with which `share` of the requests wait at most `limit_s` seconds.

    Raises:
        ValueError: It takes more than 100,000 slots, or an argument is out of range.
    """

    def enough(slots: int) -> bool:
        return wait(arrivals_per_s, service, slots, bursts).quantile(share) <= limit_s

    low = math.floor(arrivals_per_s * service.mean_s)  # never enough
    high = max(1, low + 1)
    while not enough(high):
        if high >= _MOST_SLOTS:
            raise ValueError(f"{arrivals_per_s} requests per second need more than {_MOST_SLOTS} slots")
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def simulate(arrivals_s: npt.ArrayLike, services_s: npt.ArrayLike, slots: int) -> npt.NDArray[np.float64]:
    """Let requests queue for slots, first come, first served.

    Args:
        arrivals_s: When each request comes, in seconds, in order.
        services_s: How long its answer takes, in seconds.
        slots: Requests that are answered at the same time, 1 or more.

    Returns:
        How long each request waits, in seconds.
    """
    arrivals, services = np.asarray(arrivals_s, dtype="float64"), np.asarray(services_s, dtype="float64")
    if slots < 1 or arrivals.shape != services.shape or np.any(np.diff(arrivals) < 0):
        raise ValueError("give at least one slot, a service time for every arrival, and arrivals in order")
    free = [-math.inf] * slots
    waits = np.empty(len(arrivals))
    for number, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        begin = max(arrival, free[0])
        heapq.heapreplace(free, begin + service)
        waits[number] = begin - arrival
    return waits
