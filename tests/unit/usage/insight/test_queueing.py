"""The formula agrees with exact results and with simulated queues."""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.usage.insight.backtests import waits
from litellm_hub.usage.insight.queueing import Bursts, Service, simulate, slots_needed, wait
from litellm_hub.usage.trace_formats import read_trace


@pytest.mark.parametrize(("load", "slots"), [(0.5, 1), (3.2, 4), (18.0, 20)])
def test_a_queue_without_structure_waits_as_erlang_says(load: float, slots: int) -> None:
    terms = [load**number / math.factorial(number) for number in range(slots)]
    last = load**slots / math.factorial(slots) * slots / (slots - load)
    expected = last / (sum(terms) + last)
    found = wait(load / 5, Service(5.0, 1.0), slots)
    assert found.probability == pytest.approx(expected)
    assert found.mean_s == pytest.approx(expected * 5 / (slots - load))
    assert found.utilisation == pytest.approx(load / slots)


def test_one_slot_waits_as_pollaczek_and_khinchine_say() -> None:
    assert wait(0.1, Service(8.0, 0.25), 1).mean_s == pytest.approx(0.1 * 64 * 1.25 / (2 * (1 - 0.8)))


def test_a_simulated_queue_agrees_with_the_formula() -> None:
    dice = np.random.default_rng(1)
    arrivals = np.cumsum(dice.exponential(1.0, 200_000))
    services = dice.lognormal(0.5, 0.8, 200_000)
    waited = simulate(arrivals, services, 3)
    found = wait(1.0, Service.from_times(services), 3)
    assert waited.mean() == pytest.approx(found.mean_s, rel=0.1)
    assert np.quantile(waited, 0.95) == pytest.approx(found.quantile(0.95), rel=0.1)
    assert np.mean(waited > 0) == pytest.approx(found.probability, rel=0.1)


def test_the_simulation_serves_in_order() -> None:
    assert simulate([0, 0, 0, 1, 9], [4, 1, 1, 1, 1], 2).tolist() == [0, 0, 1, 1, 0]


def test_bursts_of_a_public_trace_explain_its_waits() -> None:
    trace = files("litellm_hub.usage.insight") / "data/AzureLLMInferenceTrace_conv.csv.gz"
    requests = list(read_trace(str(trace)))
    arrivals = np.array([request.arrived.timestamp() for request in requests])
    services = np.array([request.prompt_tokens / 3000 + request.completion_tokens / 40 for request in requests])
    found = waits(arrivals, services, [33, 35, 40, 45])
    assert (np.abs(found["waiting_expected"] - found["waiting_simulated"]) < 0.2).all()
    busy = found[found["p95_s_simulated"] > 1]
    assert len(busy) == 3
    ratio = busy["p95_s_expected"] / busy["p95_s_simulated"]
    assert ratio.between(0.5, 2).all()
    # Without the bursts the same waits would be missed by far.
    assert (busy["p95_s_independent"] < 0.5 * busy["p95_s_simulated"]).all()


def test_more_is_asked_for_than_can_be_done() -> None:
    found = wait(2.0, Service(1.0, 1.0), 2)
    assert found.quantile(0.5) == math.inf
    assert wait(0.0, Service(1.0, 1.0), 2).quantile(0.99) == 0


@given(
    rate=st.floats(1e-4, 50),
    mean=st.floats(0.01, 100),
    scv=st.floats(0, 20),
    limit=st.floats(0, 100),
    share=st.floats(0.1, 0.99),
)
def test_the_slots_needed_suffice_and_one_less_does_not(
    rate: float, mean: float, scv: float, limit: float, share: float
) -> None:
    service = Service(mean, scv)
    slots = slots_needed(rate, service, limit, share=share)
    assert wait(rate, service, slots).quantile(share) <= limit
    assert slots == 1 or wait(rate, service, slots - 1).quantile(share) > limit


def test_service_times_follow_from_percentiles() -> None:
    times = np.random.default_rng(1).lognormal(1.0, 0.7, 400_000)
    fitted = Service.from_percentiles(float(np.quantile(times, 0.5)), float(np.quantile(times, 0.95)))
    measured = Service.from_times(times)
    assert fitted.mean_s == pytest.approx(measured.mean_s, rel=0.02)
    assert fitted.scv == pytest.approx(measured.scv, rel=0.1)


def test_independent_arrivals_have_no_bursts() -> None:
    dice = np.random.default_rng(2)
    bursts = Bursts.from_arrivals(np.cumsum(dice.exponential(0.2, 50_000)))
    assert bursts.over(1) == pytest.approx(1, abs=0.1)
    assert bursts.over(30) == pytest.approx(1, abs=0.3)
    assert Bursts.from_arrivals([]).over(5) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: Service(0, 1),
        lambda: Service.from_percentiles(2, 1),
        lambda: wait(1, Service(1, 1), 0),
        lambda: wait(-1, Service(1, 1), 1),
        lambda: simulate([1, 0], [1, 1], 1),
        lambda: slots_needed(1e9, Service(1, 1), 0),
    ],
)
def test_nonsense_is_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"give|need"):
        call()  # type: ignore[operator]
