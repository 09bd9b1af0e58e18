"""Answers that go round in a circle, as those of small models may until somebody stops them."""

from __future__ import annotations

WATCHED = 1200  # characters at the end that are looked at
LEAST_TURNS = 4
EVERY = 200  # characters between two looks


def goes_round(text: str) -> bool:
    """Whether the end of a text is the same words again and again; rulers and blanks are no words."""
    tail = text[-WATCHED:]
    if len(tail) < WATCHED:
        return False
    for period in range(1, WATCHED // LEAST_TURNS + 1):
        if tail[period:] == tail[:-period]:
            return any(letter.isalpha() for letter in tail[:period])
    return False
