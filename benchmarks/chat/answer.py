"""The answers that the stub streams: Markdown in ASCII, four characters a token, marked at both ends."""

FIRST = "ZZST"  # the first token
LAST = "ZZFINISH"  # what the last tokens spell
CHARACTERS_PER_TOKEN = 4

WARM = (
    "warm **bold** text\n\n```python\nx = 1  # one\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    "- item\n\n`code` [l](https://example.org)\n\nwarm."
)

_PROSE = (
    "the panel keeps one open stream and appends what arrives while a reader looks at text that does not move "
    "because earlier blocks are final and only the tail changes under the cursor as new words come in"
)
_WORDS = _PROSE.split()


def long_answer(tokens: int) -> str:
    """An answer of exactly so many tokens: headings, prose, lists, code and tables, as models write them."""
    length = tokens * CHARACTERS_PER_TOKEN
    parts = [f"{FIRST}ART of a long answer.\n\n"]
    number = 0
    while sum(map(len, parts)) < length + 400:
        number += 1
        parts.append(_section(number))
    text = "".join(parts)[: length - len(LAST) - 10]
    if text.count("```") % 2:  # no answer ends within code
        text = text[: text.rindex("```python")]
    text = text.rstrip()
    padding = length - len(text) - len(LAST) - 4
    return text + "\n\n" + ("tail word " * (padding // 10 + 1))[:padding] + "\n\n" + LAST


def reply(number: int) -> str:
    """One of the many answers of a long conversation; its mark is `reply_mark`."""
    return f"{_section(number)}{reply_mark(number)}"


def reply_mark(number: int) -> str:
    """The last word of `reply(number)`."""
    return f"ZZREPLY{number}."


def in_tokens(text: str) -> list[str]:
    """Cut a text into tokens."""
    return [text[start : start + CHARACTERS_PER_TOKEN] for start in range(0, len(text), CHARACTERS_PER_TOKEN)]


def _section(number: int) -> str:
    words = " ".join(_WORDS[(number * 7 + word) % len(_WORDS)] for word in range(45)).capitalize()
    functions = "".join(
        f"def step_{number}_{step}(x, y={step}):\n    # add and scale\n"
        f"    return [v * {step} + y for v in x if v > {number}]\n\n"
        for step in range(3)
    )
    parts = [
        f"## Section {number}\n\n{words}.\n\n",
        f"Some **bold text {number}**, *italics*, `inline_code_{number}()` and a "
        f"[link](https://example.org/{number}).\n\n",
        "".join(f"- item {number}.{item} of a list with a few words\n" for item in range(4)) + "\n",
        f"```python\n{functions}```\n\n",
    ]
    if number % 2 == 0:
        rows = "".join(f"| row{row} | {row * number} | ok |\n" for row in range(4))
        parts.append(f"| name | value | note |\n|---|---|---|\n{rows}\n")
    return "".join(parts)
