"""What figures mean and how they are written."""

from __future__ import annotations

import json

import pytest

from litellm_hub.client.figures import generated, money
from tests.support.lab import ROOT

# The front end's tests read them, too.
AMOUNTS = json.loads((ROOT / "widgets/frontend/test/data/money.json").read_text())


@pytest.mark.parametrize(("dollars", "words"), AMOUNTS)
def test_money_has_cents_or_two_digits_and_never_an_exponent(dollars: float, words: str) -> None:
    assert money(dollars) == words


def test_a_speed_is_of_the_tokens_after_the_first() -> None:
    assert generated(29, 42.0, 49.75) == (28, 7.75)


@pytest.mark.parametrize(("tokens", "first", "whole"), [(1, 1.0, 2.0), (9, None, 2.0), (9, 1.0, None), (9, 2.0, 2.0)])
def test_an_answer_in_one_piece_or_of_one_token_has_no_speed(tokens: int, first: float, whole: float) -> None:
    assert generated(tokens, first, whole) is None
