"""The estimate of tokens, and texts cut to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.client import HubClient
from litellm_hub.client.tokens import clip_to_tokens, estimate_tokens

# Texts and what SmolLM2's own tokenizer counts for them.
COUNTED = [
    ("The quick brown fox jumps over the lazy dog. " * 20, 201),
    ("def add(a: int, b: int = 1) -> int:\n    return a + b\n" * 20, 460),
    ('{"id": 12345, "name": "value", "items": [1, 2, 3]}\n' * 20, 580),
    ("2024-01-01,12.5,Berlin,true\n" * 20, 420),
    ("Der schnelle braune Fuchs springt über den faulen Hund. " * 20, 401),
    ("Быстрая лисица прыгает через собаку. " * 20, 621),
    ("敏捷的棕色狐狸跳过了懒狗。" * 20, 600),
]


@pytest.mark.parametrize(("text", "counted"), COUNTED)
def test_the_estimate_is_near_what_a_tokenizer_counts(text: str, counted: int) -> None:
    assert estimate_tokens(text) == pytest.approx(counted, rel=0.35)


@given(st.text(), st.integers(0, 60))
def test_a_clipped_text_keeps_the_limit_and_its_beginning(text: str, limit: int) -> None:
    clipped = clip_to_tokens(text, limit)
    assert estimate_tokens(clipped) <= limit
    if estimate_tokens(text) <= limit:
        assert clipped == text
    else:
        assert text.startswith(clipped.removesuffix("\n… (cut)"))


def test_a_long_text_is_clipped_at_the_end_of_a_line() -> None:
    clipped = clip_to_tokens("one two three four\n" * 1000, 200)
    assert clipped.endswith("four\n… (cut)")
    assert estimate_tokens(clipped) > 180


def test_the_client_counts_for_any_model() -> None:
    assert HubClient("http://hub.test/v1", "sk-x").count_tokens("Hello there.", "phi") == estimate_tokens(
        "Hello there."
    )
