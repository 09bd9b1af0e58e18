"""How many tokens a text has, estimated without the model's tokenizer, which notebooks do not have."""

from __future__ import annotations


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of `text`."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def clip_to_tokens(text: str, limit: int) -> str:
    """Return `text` with at most `limit` tokens by `estimate_tokens`, cut at a line's end where that costs little."""
    if estimate_tokens(text) <= limit:
        return text
    mark = "\n… (cut)"
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle] + mark) <= limit:
            low = middle
        else:
            high = middle - 1
    head = text[:low]
    line = head.rfind("\n")
    return (head[:line] if line > low * 0.8 else head) + mark
