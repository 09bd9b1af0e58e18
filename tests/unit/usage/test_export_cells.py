"""Cells of a CSV export: what callers name is text to a spreadsheet too."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from litellm_hub.usage.export import _SCHEMA, _csv, without_formulas

SIGNS = "=+-@"


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet may take it for one: by its first character that has a shape, in its plain form."""
    if cell[:1] in {"\t", "\r", "\n"}:
        return True
    seen = next((char for char in cell if unicodedata.category(char)[0] not in "ZC" and char != '"'), "")
    return seen != "" and unicodedata.normalize("NFKC", seen) in SIGNS and unicodedata.category(seen) != "No"


def row(text: str, spend: float = -1.5) -> pd.DataFrame:
    values: dict[str, object] = {field.name: text for field in _SCHEMA}
    values |= {"started_at": pd.Timestamp(datetime(2026, 5, 1, tzinfo=UTC)), "tags": [text], "cache_hit": False}
    values |= {"prompt_tokens": -3, "completion_tokens": 4, "spend": spend, "duration_s": 1.0, "first_token_s": None}
    return pd.DataFrame([values])


def written(page: pd.DataFrame) -> str:
    stream = io.BytesIO()
    assert _csv(stream, [page]) == len(page)
    return stream.getvalue().decode()


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Co", "Cn"]), max_size=20)
HOSTILE = st.lists(
    st.sampled_from([*SIGNS, *"\uff1d\uff0b\uff20\uff0d\t\r\n ;,\"'", "\u00a0", "\ufeff", "\u200b", "cmd"])
).map("".join)


@given(PLAIN | HOSTILE)
@example("=HYPERLINK(1)")
@example("  \u3000\uff1d1")
@example('a;"=1;')
@example("\x00-1")
def test_no_cell_is_a_formula_wherever_a_spreadsheet_divides_it(text: str) -> None:
    safe = without_formulas(text)
    assert isinstance(safe, str)
    assert [part for part in [safe, *re.split("[;\t\r\n]", safe)] if is_formula(part)] == []
    assert safe.replace("'", "") == text.replace("'", ""), "nothing but apostrophes was added"


@settings(max_examples=25)  # each writes a table
@given(HOSTILE)
def test_a_line_has_its_columns_and_numbers_stay_numbers(text: str) -> None:
    _, *lines = csv.reader(io.StringIO(written(row(text)), newline=""))
    [cells] = lines
    found = dict(zip(_SCHEMA.names, cells, strict=True))
    assert (found["prompt_tokens"], found["spend"], found["first_token_s"]) == ("-3", "-1.5", "")
    assert [name for name in found if name not in ("prompt_tokens", "spend") and is_formula(found[name])] == []


@pytest.mark.parametrize("text", ["ada", "chat-7", "a=b", "x@example.org", "", "'quoted", "a; b", "3", "1e-3"])
def test_ordinary_names_stay_as_they_are(text: str) -> None:
    assert without_formulas(text) == text


def test_what_is_no_text_stays_as_it_is() -> None:
    assert without_formulas(None) is None
    assert without_formulas(-1.5) == -1.5


def test_a_long_text_of_blanks_costs_no_more_than_its_length() -> None:
    assert without_formulas("\t" * 200_000 + " " * 200_000 + "x") == "'" + "\t" * 200_000 + " " * 200_000 + "x"
