import numpy as np
import pytest

from benchmarks.usage.backtests import simulate, waits


def test_the_simulation_serves_in_order() -> None:
    found = simulate(np.array([0.0, 0, 0, 1, 9]), np.array([4.0, 1, 1, 1, 1]), 2)
    assert found.tolist() == [0, 0, 1, 1, 0]


def test_a_queue_without_bursts_waits_as_expected() -> None:
    dice = np.random.default_rng(1)
    arrivals, services = np.cumsum(dice.exponential(1.0, 100_000)), dice.exponential(2.6, 100_000)
    found = waits(arrivals, services, [3, 4])
    assert found["simulated"].tolist() == pytest.approx(found["expected"].tolist(), rel=0.1)
    assert found["utilisation"].iloc[0] == pytest.approx(0.87, abs=0.01)
