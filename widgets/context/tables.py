"""Tables as text for a model: columns with types and statistics, and a sample of rows, within a limit of tokens.

Statistics of a long table come from a random sample, and only the columns that are shown are looked at, so that a table
of ten million rows takes no longer than one of ten thousand. The sample is always the same one: what a preview shows is
what is sent.
"""

from __future__ import annotations

import csv
import io
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from litellm_hub.client.tokens import estimate_tokens
from widgets.context.masking import MASK, looks_secret
from widgets.context.rendering import cell, number

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 10_000  # the longest table whose statistics are exact
MOST_COLUMNS = 100
_SEED = 0
_DIGITS = 12  # of calculated figures: what follows is noise of the calculation


@dataclass(frozen=True)
class Table:
    """A table, whatever keeps it.

    Attributes:
        kind: What it is, for people.
        rows: Number of rows.
        above: What the names of the columns are, each level of them; empty where nobody said.
        names: Names of the columns.
        types: Types of the columns, as many.
        take: Gives the rows at some positions, and the first so many columns, as a pandas frame.
    """

    kind: str
    rows: int
    above: Sequence[object]
    names: Sequence[object]
    types: Sequence[object]
    take: Callable[[list[int], int], pd.DataFrame]

    @property
    def summary(self) -> str:
        """Return kind and shape in one line."""
        return f"{self.kind} {self.rows:,} × {len(self.names):,}"  # noqa: RUF001


class _Detail(NamedTuple):
    """How much is shown: most frequent values of a column, first rows, random rows, characters of a cell."""

    values: int
    first: int
    random: int
    width: int


_DETAILS = (
    _Detail(5, 10, 10, 60),
    _Detail(4, 5, 5, 40),
    _Detail(3, 3, 2, 24),
    _Detail(2, 2, 0, 16),
    _Detail(0, 0, 0, 16),
)


def as_table(value: Any) -> Table | None:
    """Return a pandas frame or series as a `Table`; None for anything else."""
    pandas = sys.modules.get("pandas")  # not loaded: then nothing is a frame
    if pandas is None:
        return None
    if issubclass(type(value), pandas.Series):
        frame, kind = pandas.Series(value).to_frame(), "Series"
    elif issubclass(type(value), pandas.DataFrame):
        frame, kind = pandas.DataFrame(value), "DataFrame"  # without what a subclass may do
    else:
        return None
    above = [name for name in frame.columns.names if name is not None]
    names, types = list(frame.columns), list(frame.dtypes)
    return Table(kind, len(frame), above, names, types, lambda rows, most: frame.iloc[rows, :most])


def describe_table(table: Table, token_limit: int) -> str:
    """Return what a model should know of a table, in as much detail as `token_limit` allows.

    Args:
        table: The table.
        token_limit: Most tokens of the text, by `litellm_hub.client.tokens`.
    """
    shown = min(len(table.names), MOST_COLUMNS)
    exact = table.rows <= SAMPLE_ROWS
    facts = _facts(table, shown, exact)
    text = ""
    for detail in _DETAILS:
        columns = [column.line(detail.values) for column in facts]
        if shown < len(table.names):
            columns.append(f"- … {len(table.names) - shown:,} more columns")
        heading = "Columns" + (f" by {', '.join(cell(name, 60) for name in table.above)}" if table.above else "")
        heading += "" if exact else f" (statistics from a random sample of {SAMPLE_ROWS:,} rows)"
        text = "\n".join([table.summary, f"{heading}:", *columns, *_rows(table, shown, detail)])
        if estimate_tokens(text) <= token_limit:
            return text
    return text


def _positions(rows: int, most: int, start: int = 0) -> list[int]:
    """Return at most so many positions from `start` on, all or a random choice, in order."""
    if rows - start <= most:
        return list(range(start, rows))
    return sorted(random.Random(_SEED).sample(range(start, rows), most))  # noqa: S311 - nothing secret


@dataclass
class _Column:
    """What is known of a column: its name and type, what is always said, figures, and its most frequent values."""

    head: str
    notes: list[str]
    figures: list[str] = field(default_factory=list)
    frequent: list[str] = field(default_factory=list)

    def line(self, values: int) -> str:
        """Return all this in a line; with 0 values without the figures."""
        parts = [self.head, *self.notes, *(self.figures if values else [])]
        if values and self.frequent:
            parts.append(f"most frequent: {'; '.join(self.frequent[:values])}")
        return ", ".join(parts)


def _facts(table: Table, shown: int, exact: bool) -> list[_Column]:
    sample = table.take(_positions(table.rows, SAMPLE_ROWS), shown)
    levels = [(cell(name, 60), sample.index.get_level_values(level)) for level, name in _levels(sample)]
    return [
        *(_column(name, f"index, {values.dtype}", values.to_series(), exact) for name, values in levels),
        *(
            _column(cell(table.names[place], 60), cell(str(table.types[place]), 40), sample.iloc[:, place], exact)
            for place in range(shown)
        ),
    ]


def _levels(frame: pd.DataFrame) -> list[tuple[int, object]]:
    """Return position and name of each named level of the index."""
    return [(level, name) for level, name in enumerate(frame.index.names) if name is not None]


def _column(name: str, kind_of_values: str, values: pd.Series[Any], exact: bool) -> _Column:
    head = f"- {name}: {kind_of_values}"
    if looks_secret(name):
        return _Column(head, ["masked: its name looks like a secret"])
    missing = int(values.isna().sum())
    share = f"{missing:,}" if exact else f"about {missing / len(values):.1%}"
    column = _Column(head, [f"{share} missing"] if missing else [])
    present = values.dropna()
    kind = values.dtype.kind if hasattr(values.dtype, "kind") else "O"
    if len(present) == 0 or kind == "c":
        return column
    if kind in "iuf":
        numbers = present.astype(float)
        middle, mean = (number(float(f"{figure:.{_DIGITS}g}")) for figure in (numbers.median(), numbers.mean()))
        column.figures = [f"min {cell(present.min(), 40)}", f"median {middle}", f"mean {mean}"]
        column.figures.append(f"max {cell(present.max(), 40)}")
    elif kind in "mM":
        column.figures = [f"{present.min()} to {present.max()}"]
    elif kind == "O" and not all(type(value) is str for value in present):
        # Counting would call the objects' own comparison.
        column.figures = [f"objects: {', '.join(sorted({type(value).__name__ for value in present})[:5])}"]
    else:
        counts = present.value_counts()
        counts = counts[counts > 0]  # of a categorical, those in use
        column.figures = [f"{'' if exact else 'at least '}{len(counts):,} distinct"]
        column.frequent = [f"{cell(value, 30)} ({count:,})" for value, count in counts.iloc[:5].items()]
    return column


def _rows(table: Table, shown: int, detail: _Detail) -> list[str]:
    if not detail.first or not table.rows:
        return []
    first = list(range(min(detail.first, table.rows)))
    others = _positions(table.rows, detail.random, len(first))
    frame = table.take(first + others, shown)
    names = [cell(name, detail.width) for name in table.names[:shown]]
    secret = [looks_secret(name) for name in names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [list(frame.iloc[:, place].array) for place in range(shown)]
    for level, name in reversed(list(enumerate(frame.index.names))):
        names.insert(0, "" if name is None else cell(name, detail.width))
        secret.insert(0, looks_secret(names[0]))
        columns.insert(0, list(frame.index.get_level_values(level).array))
    writer.writerow(names)
    for values in zip(*columns, strict=True):
        shown_values = zip(values, secret, strict=True)
        writer.writerow(MASK if hidden else _cell(value, detail.width) for value, hidden in shown_values)
    kind = f"First {len(first)} rows" + (f" and {len(others)} random ones" if others else "")
    return [f"{kind if others or len(first) < table.rows else 'All rows'} as CSV:", out.getvalue().rstrip("\n")]


def _cell(value: Any, width: int) -> str:
    pandas, numpy = sys.modules["pandas"], sys.modules["numpy"]
    missing = value is None or value is pandas.NA or value is pandas.NaT
    if not missing and issubclass(type(value), float | numpy.floating):
        missing = math.isnan(value)
    return "" if missing else cell(value, width)
