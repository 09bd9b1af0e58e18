"""What the same traffic would have cost elsewhere.

Prices come from LiteLLM's price map. The notebooks' environment has no LiteLLM, so that `cloud_prices.json` holds the
few that are compared with; `python -m litellm_hub.usage update-prices` writes it anew from the LiteLLM installed.

Tokens are those of the local models. Another model cuts the same text into other tokens, often 10 to 30 % more or
fewer, and answers at another length: take the sums as an order of magnitude.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

CAVEAT = (
    "Counted in the local models' tokens. Another model cuts the same text into other tokens, often 10 to 30 % more or"
    " fewer, and answers at another length: an order of magnitude, no quotation."
)
FILE = Path(__file__).with_name("cloud_prices.json")
MODELS = (
    "gpt-5-nano",
    "gpt-5-mini",
    "gpt-5.1",
    "claude-haiku-4-5",
    "claude-sonnet-4-6",
    "claude-opus-4-6",
    "gemini/gemini-2.5-flash-lite",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-2.5-pro",
    "mistral/mistral-small-latest",
    "mistral/mistral-large-latest",
)
"""Small, middle and large models of four providers, by their names in LiteLLM's price map."""

_MAP = "model_prices_and_context_window_backup.json"


@dataclass(frozen=True)
class CloudPrices:
    """Public prices of cloud models.

    Attributes:
        table: `model`, `provider` (str), `prompt_usd_per_million`, `completion_usd_per_million` (float64).
        source: Where they come from, with its version.
        as_of: When they were taken from there.
    """

    table: pd.DataFrame
    source: str
    as_of: date


def cloud_prices() -> CloudPrices:
    """Return the prices that come with this library."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return CloudPrices(pd.DataFrame(stored["models"]), stored["source"], date.fromisoformat(stored["as_of"]))


def in_the_cloud(totals: pd.DataFrame, prices: CloudPrices | None = None) -> pd.DataFrame:
    """Tell what the same traffic would have cost at cloud prices; see the caveat about tokenizers.

    Args:
        totals: Frame of `usage.totals` or `usage.volume`: `prompt_tokens`, `completion_tokens`, `spend`.
        prices: Default: those that come with this library.

    Returns:
        A row per cloud model, cheapest first: `model`, `provider` (str), `cost` (float64, US dollars), `times_here`
        (float64, how many times what the log counts as spend; missing where that is nothing).
    """
    table = (prices or cloud_prices()).table
    prompt, completion = float(totals["prompt_tokens"].sum()), float(totals["completion_tokens"].sum())
    cost = (table["prompt_usd_per_million"] * prompt + table["completion_usd_per_million"] * completion) / 1e6
    here = float(totals["spend"].sum())
    found = table[["model", "provider"]].assign(cost=cost, times_here=cost / here if here else float("nan"))
    return found.sort_values("cost", ignore_index=True)


def litellm_prices() -> tuple[str, list[dict[str, Any]]]:
    """Read the prices from the LiteLLM that is installed, without starting it.

    Returns:
        Its version, and a row per model as in `cloud_prices().table`.

    Raises:
        LookupError: LiteLLM is not installed, or does not know a model.
    """
    found = find_spec("litellm")
    if found is None or found.origin is None:
        raise LookupError("LiteLLM is not installed here: run this with the checkout's .venv/bin/python")
    known = json.loads(Path(found.origin).with_name(_MAP).read_text(encoding="utf-8"))
    missing = [name for name in MODELS if name not in known]
    if missing:
        raise LookupError(f"LiteLLM's price map lacks {', '.join(missing)}: take others into MODELS")
    rows = [
        {
            "model": name.rpartition("/")[2],
            "provider": known[name]["litellm_provider"],
            "prompt_usd_per_million": round(known[name]["input_cost_per_token"] * 1e6, 6),
            "completion_usd_per_million": round(known[name]["output_cost_per_token"] * 1e6, 6),
        }
        for name in MODELS
    ]
    return version("litellm"), rows


def update(today: date) -> None:
    """Write `cloud_prices.json` anew from the LiteLLM that is installed."""
    release, rows = litellm_prices()
    stored = {
        "generated_by": "python -m litellm_hub.usage update-prices",
        "source": f"LiteLLM {release}",
        "as_of": today.isoformat(),
        "models": rows,
    }
    FILE.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
