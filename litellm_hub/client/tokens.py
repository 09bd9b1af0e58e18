"""How many tokens a text has, estimated without the model's tokenizer, which notebooks do not have.

The weights were fitted to SmolLM2's tokenizer on 132 texts of 2 to 3 kB: English prose, Python, JavaScript, YAML, JSON,
CSV, and a dozen other languages. Errors of the estimate (positive: too many), median and middle nine tenths:

    SmolLM2    -2 %, -13 % to 19 %    6 % off in the median
    Llama 2    -3 %, -15 % to 49 %
    Qwen 3     16 %,   0 % to 103 %   its larger vocabulary needs half the tokens for Cyrillic, Chinese and Korean
    GPT-2      -4 %, -37 % to 52 %    it spends a token on each space of an indentation

So a text needs a fifth more room than estimated to fit for certain. The tokens that a runtime's chat template adds are
not counted: for SmolLM2 some 30 a request.
"""

from __future__ import annotations

import math
import re

_WORD = re.compile(r"[A-Za-z]+")
_LONG = 7  # letters that a word may have and still be about one token
# Tokens of a word, of each letter beyond `_LONG`, and of each match of the others.
_PER_WORD, _PER_LETTER = 1.2, 0.48
_OTHERS = (
    (re.compile(r"[0-9]"), 1.2),
    (re.compile(r"[!-/:-@\[-`{-~]"), 0.46),
    (re.compile(r"\n\s*"), 1.7),
    (re.compile(r"[\u0080-\u02ff]"), 4.0),  # an accent breaks its word apart
    (re.compile(r"[\u0300-\u1fff]"), 0.84),  # Cyrillic, Greek, Arabic and more
    (re.compile(r"[\u2000-\u2dff]"), 1.0),  # signs
    (re.compile(r"[\u2e80-\uabff\uf900-\uffff]"), 1.7),  # Chinese, Japanese
    (re.compile(r"[\uac00-\ud7ff]"), 2.7),  # Korean
    (re.compile(r"[\U00010000-\U0010ffff]"), 3.0),  # emoji and more
)


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of `text`; takes a fifth of a second for a million characters."""
    words = _WORD.findall(text)
    tokens = _PER_WORD * len(words) + _PER_LETTER * sum(len(word) - _LONG for word in words if len(word) > _LONG)
    return math.ceil(tokens + sum(weight * len(pattern.findall(text)) for pattern, weight in _OTHERS))


def clip_to_tokens(text: str, limit: int) -> str:
    """Return `text` with at most `limit` tokens by `estimate_tokens`, cut at a line's end where that costs little."""
    if estimate_tokens(text) <= limit:
        return text
    mark = "\n… (cut)"
    if estimate_tokens(mark) > limit:
        return ""
    low, high = 0, max(limit, 1)
    while high < len(text) and estimate_tokens(text[:high]) <= limit:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle] + mark) <= limit:
            low = middle
        else:
            high = middle - 1
    head = text[:low]
    line = head.rfind("\n")
    return (head[:line] if line > low * 0.8 else head) + mark
