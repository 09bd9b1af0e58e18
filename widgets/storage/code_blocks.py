"""Fenced code blocks of a Markdown text, found line by line as CommonMark has it (0.31, section 4.5)."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPENING = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})\s*(?P<language>[^\s`]*)")

_MARKS = re.compile(r"^ {0,3}#{1,6} +|(?<!\w)\*\*(?=\S)([^*\n]+)\*\*(?!\w)|`([^`\n]+)`", re.MULTILINE)


class Block(NamedTuple):
    """A part of a Markdown text.

    Attributes:
        text: The Markdown of the part; of a code block its code, without the fences.
        code: True for a code block.
        language: The language that the block names, in lower case; empty if none.
        open_fence: Of a code block whose end is missing, the fence that would end it; else empty.
    """

    text: str
    code: bool = False
    language: str = ""
    open_fence: str = ""


def split_fences(text: str) -> list[Block]:
    """Split a text into its top-level fenced code blocks and what lies between; blank parts are left out.

    A fence inside a list item or a quotation belongs to the Markdown around it.
    """
    blocks: list[Block] = []
    lines: list[str] = []
    fence = language = ""
    for line in text.split("\n"):
        if fence:
            if re.fullmatch(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}\s*", line):
                blocks.append(Block("\n".join(lines), code=True, language=language))
                lines, fence = [], ""
            else:
                lines.append(line)
        elif opening := _OPENING.match(line):
            _add_markdown(blocks, lines)
            lines, fence, language = [], opening["fence"], opening["language"].lower()
        else:
            lines.append(line)
    if fence:
        blocks.append(Block("\n".join(lines), code=True, language=language, open_fence=fence))
    else:
        _add_markdown(blocks, lines)
    return blocks


def fenced(text: str, language: str = "") -> str:
    """Return `text` as a code block whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def closed(text: str) -> str:
    """Return a Markdown text with the end of its last code block if that is missing: else it would swallow the rest."""
    blocks = split_fences(text)
    return f"{text}\n{blocks[-1].open_fence}" if blocks and blocks[-1].open_fence else text


def words_of(text: str) -> str:
    """Return a Markdown text as it reads without fences and the marks of headings, bold and code."""
    return "\n".join(block.text if block.code else _MARKS.sub(r"\1\2", block.text) for block in split_fences(text))


def _add_markdown(blocks: list[Block], lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        blocks.append(Block(text))
