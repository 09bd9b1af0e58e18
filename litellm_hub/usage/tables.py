"""Usage frames as tables that people read: heads with units, shares in percent, money without exponents."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pandas as pd

from litellm_hub.client.figures import money

# Requests from which on a percentile says something: below, it is one of the few requests themselves.
NEEDED = {"p50": 3, "p90": 10, "p95": 20, "p99": 100}
_TOO_FEW = "too few"
NOBODY = {"user": "no user", "team": "no team", "key_alias": "no alias", "model": "no model"}
_MONEY = {"spend", "cost", "max_budget", "burn_per_day"}
_SHARES = {"share", "failure_rate", "hit_rate", "utilisation"}
_ESTIMATES = {"times_here"}
_HEADS = {
    "key_alias": "Key",
    "failures": "Failed",
    "failure_rate": "Failed, share",
    "cache_hits": "From cache",
    "hit_rate": "From cache, share",
    "completion_tokens": "Answer tokens",
    "total_tokens": "Tokens",
    "spend": "Spend, $",
    "cost": "Cost, $",
    "max_budget": "Budget, $",
    "budget_duration": "Renewed every",
    "reset_at": "Renewed next",
    "burn_per_day": "Spend a day, $",
    "lasts": "Lasts until then",
    "p50": "Median",
    "max": "Largest",
    "looked_at_since": "Looked at since",
    "error_class": "Error",
    "error_code": "Code",
    "session_id": "Session",
    "wait_s": "Median wait, s",
    "arrivals_per_s": "Requests a second",
    "utilisation": "In use",
    "times_here": "Beside the lab's made-up prices",
}


class Table:
    """A frame as people read it.

    Attributes:
        frame: The frame itself, for calculations.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __repr__(self) -> str:
        return self.words.to_string(index=False)

    def _repr_html_(self) -> str:
        html: str = self.words.to_html(index=False, border=0, max_rows=50)
        return html

    @property
    def words(self) -> pd.DataFrame:
        """The frame with texts in place of values and with readable heads; columns that say nothing are left out."""
        unit = self.frame.attrs.get("unit", "")
        shown = {}
        for name in map(str, self.frame.columns):
            values = self.frame[name]
            if values.isna().all() and name not in NOBODY:
                continue
            shown[_head(name, values, unit)] = [
                _text(name, value, requests)
                for value, requests in zip(values, self.frame.get("requests", [math.inf] * len(values)), strict=True)
            ]
        return pd.DataFrame(shown)


def _head(name: str, values: pd.Series[Any], unit: str) -> str:
    head = _HEADS.get(name) or (name if name in NEEDED else name.replace("_", " ").capitalize())
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return f"{head} ({values.dt.tz})"
    return f"{head}, {unit}" if unit and name in {*NEEDED, "mean", "max"} else head


def _text(name: str, value: Any, requests: float) -> str:
    if requests < NEEDED.get(name, 0):
        return _TOO_FEW
    if pd.isna(value):
        return NOBODY.get(name, "—")
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d" if value == value.normalize() else "%Y-%m-%d %H:%M")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if name in _MONEY:
        return money(float(value))
    if name in _ESTIMATES and math.isfinite(value):
        return f"about {figure(float(f'{value:.2g}'))} times"
    if name in _SHARES:
        return f"{100 * value:.1f} %"
    return figure(float(value))


def figure(value: float) -> str:
    """Return a number with three significant digits, whole ones and large ones in full."""
    if not math.isfinite(value):
        return "without end"
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return format(Decimal(f"{value:.3g}"), "f")
