"""How many tokens a text has, estimated without the model's tokenizer, which notebooks do not have."""

from __future__ import annotations


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of `text`."""
    return -(-len(text.encode("utf-8", "replace")) // 4)
