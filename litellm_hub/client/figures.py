"""What the figures of an answer mean and how they are written, in the chat panel as in the usage notebooks."""

from __future__ import annotations

from decimal import Decimal


def generated(
    completion_tokens: int, first_token_s: float | None, duration_s: float | None
) -> tuple[int, float] | None:
    """Return the tokens after an answer's first one, and the seconds in which they came: what its speed is counted of.

    The time to the first token is that of reading the prompt and of waiting for the model. The log counts alike, in the
    database (`litellm_hub.usage.tokens_per_second` and the roll-up behind it).

    Args:
        completion_tokens: Tokens of the answer.
        first_token_s: Seconds from the request to the first token; None where that is not known.
        duration_s: Seconds from the request to the end.

    Returns:
        Tokens and seconds, both above 0; None for an answer that has no speed.
    """
    if first_token_s is None or duration_s is None or completion_tokens < 2 or duration_s <= first_token_s:
        return None
    return completion_tokens - 1, duration_s - first_token_s


def money(dollars: float) -> str:
    """Return US dollars with cents, below one with two significant digits: local models cost far less than a cent.

    The front end writes them alike (`numbers.js`).
    """
    if dollars == 0 or abs(dollars) >= 1:
        return f"{dollars:,.2f}"
    return format(Decimal(f"{dollars:.2g}"), "f")
