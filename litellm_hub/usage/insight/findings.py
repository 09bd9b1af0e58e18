"""What an analysis found, for people who read and for charts."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import pandas as pd

from litellm_hub.usage.tables import Table


@dataclass(frozen=True)
class Finding:
    """A sentence and a table.

    Attributes:
        words: What was found, or what is missing to find something.
        table: The figures behind it; empty, with the same columns, where the data do not suffice or nothing was found.
    """

    words: str
    table: pd.DataFrame

    def _repr_html_(self) -> str:
        rows = "" if self.table.empty else Table(self.table)._repr_html_()
        return f"<p>{escape(self.words)}</p>{rows}"


def some(number: float, noun: str) -> str:
    """Return a number with its noun: "1 hour", "1,234 hours"."""
    return f"{number:,.0f} {noun}{'' if round(number) == 1 else 's'}"
