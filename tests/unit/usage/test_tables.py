"""Usage frames as people read them."""

import math

import pandas as pd
import pytest

from litellm_hub.usage.tables import Table, figure


def test_heads_have_units_and_values_read_well() -> None:
    frame = pd.DataFrame(
        {
            "team": ["frogs", None],
            "requests": [12_345, 2],
            "failure_rate": [0.125, 0.0],
            "spend": [1234.5, 0.0000036],
            "p50": [14.345042, 3.0],
            "p99": [20.5, 3.0],
            "last": pd.to_datetime(["2026-05-01T10:30:12Z", None]),
            "looked_at_since": pd.to_datetime([None, None], utc=True),
            "lasts": [True, False],
        }
    )
    frame.attrs["unit"] = "s"
    words = Table(frame).words
    assert list(words.columns) == [
        *("Team", "Requests", "Failed, share", "Spend, $", "Median, s", "p99, s", "Last (UTC)", "Lasts until then")
    ]
    assert words.iloc[0].tolist() == [
        "frogs",
        "12,345",
        "12.5 %",
        "1,234.50",
        "14.3",
        "20.5",
        "2026-05-01 10:30",
        "yes",
    ]
    assert words.iloc[1].tolist() == ["no team", "2", "0.0 %", "0.0000036", "too few", "too few", "—", "no"]
    assert "too few" in Table(frame)._repr_html_()
    assert Table(frame).frame is frame


def test_names_of_people_are_no_markup() -> None:
    assert "<b>" not in Table(pd.DataFrame({"user": ["<b>x</b>"]}))._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (3.0, "3"), (1.462882, "1.46"), (1234567.8, "1,234,568"), (0.00012345, "0.000123")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_what_never_ends_is_said_so() -> None:
    assert figure(math.inf) == "without end"


@pytest.mark.parametrize(
    ("times", "text"), [(1.462882, "about 1.5 times"), (1462.9, "about 1,500 times"), (0.0123, "about 0.012 times")]
)
def test_a_comparison_with_made_up_prices_is_rough(times: float, text: str) -> None:
    words = Table(pd.DataFrame({"times_here": [times]})).words
    assert words["Beside the lab's made-up prices"].tolist() == [text]
