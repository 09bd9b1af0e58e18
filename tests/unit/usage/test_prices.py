"""What traffic would cost elsewhere, from prices that are LiteLLM's."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from litellm_hub.usage.prices import CloudPrices, cloud_prices, in_the_cloud, litellm_prices

TRAFFIC = pd.DataFrame(
    {"prompt_tokens": [2_000_000, 1_000_000], "completion_tokens": [500_000, 0], "spend": [0.5, 0.5]}
)


def test_the_prices_stored_are_those_of_the_litellm_installed() -> None:
    release, rows = litellm_prices()
    stored = cloud_prices()
    assert stored.source == f"LiteLLM {release}", "run: python -m litellm_hub.usage update-prices"
    assert stored.table.to_dict("records") == rows
    assert (stored.table[["prompt_usd_per_million", "completion_usd_per_million"]] > 0).all().all()


def test_traffic_is_priced_by_its_tokens_cheapest_first() -> None:
    table = pd.DataFrame(
        [("large", "a", 3.0, 15.0), ("small", "b", 0.1, 0.4)],
        columns=["model", "provider", "prompt_usd_per_million", "completion_usd_per_million"],
    )
    found = in_the_cloud(TRAFFIC, CloudPrices(table, "made up", date(2026, 1, 1)))
    assert found["model"].tolist() == ["small", "large"]
    assert found["cost"].tolist() == pytest.approx([0.3 + 0.2, 9 + 7.5])
    assert found["times_here"].tolist() == pytest.approx([0.5, 16.5])


def test_an_empty_log_costs_nothing_and_compares_with_nothing() -> None:
    found = in_the_cloud(TRAFFIC.head(0))
    assert (found["cost"] == 0).all()
    assert found["times_here"].isna().all()
