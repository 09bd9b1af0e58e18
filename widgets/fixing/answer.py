"""What of a model's answer is the new cell, and how it differs from the old one. Pure."""

from __future__ import annotations

import ast
import difflib
import re
import textwrap
from typing import Literal

from IPython.core.inputtransformer2 import TransformerManager

from widgets.storage.code_blocks import split_fences

PYTHON = {"", "python", "py", "python3", "ipython", "ipython3", "jupyter"}
Sign = Literal["+", "-", " "]


def code_of(answer: str, cell: str) -> str:
    """Return the new cell that an answer holds.

    Of several blocks that one is taken which is most like the cell and not the cell itself: models often repeat the
    old cell, or tell what to install. An answer without a fence is code where it can be read as such.

    Args:
        answer: The model's answer.
        cell: The old cell.

    Returns:
        The new cell; `cell` itself where the answer changes nothing; empty where there is no code in the answer.
    """
    if _same(answer, cell):
        return cell
    parts = split_fences(answer.replace("\r\n", "\n"))
    found = [_tidied(part.text, cell) for part in parts if part.code and part.language in PYTHON]
    if not any(part.code for part in parts):
        found = [_tidied(_bare_code(answer), cell)]
    found = [code for code in found if code.strip()]
    found = [code for code in found if _reads(code)] or found
    if not found:
        return ""
    new = [code for code in found if not _same(code, cell)]
    return max(reversed(new), key=lambda code: _likeness(code, cell)) if new else cell


def difference(old: str, new: str) -> list[tuple[Sign, str]]:
    """Return the lines of both texts in order: what is in the old one alone ("-"), in the new one ("+"), or in both."""
    before, after = old.splitlines(), new.splitlines()
    lines: list[tuple[Sign, str]] = []
    for _, start, end, new_start, new_end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if before[start:end] == after[new_start:new_end]:
            lines += [(" ", line) for line in before[start:end]]
        else:
            lines += [("-", line) for line in before[start:end]]
            lines += [("+", line) for line in after[new_start:new_end]]
    return lines


def _tidied(code: str, cell: str) -> str:
    """Take off what is around the code, and put back the cell's magic (`%%time`), which models leave out."""
    code = textwrap.dedent(code).strip("\n").rstrip()
    magic = re.match(r"%%\w.*\n", cell)
    return f"{magic[0]}{code}" if magic and code and not code.startswith("%%") else code


def _bare_code(answer: str) -> str:
    """Return the longest run of paragraphs that is code; empty where there is none."""
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", answer.strip("\n"))
    for length in range(len(paragraphs), 0, -1):
        for start in range(len(paragraphs) - length + 1):
            code = "\n\n".join(paragraphs[start : start + length])
            if _reads(code) and not _is_word(code):
                return code
    return ""


def _reads(code: str) -> bool:
    return _tree(code) is not None


def _is_word(code: str) -> bool:
    """Whether code is nothing but names and values: so is many a sentence of one word."""
    tree = _tree(code)
    return tree is not None and all(
        isinstance(part, ast.Expr) and isinstance(part.value, ast.Name | ast.Constant) for part in tree.body
    )


def _tree(code: str) -> ast.Module | None:
    transformer = TransformerManager()
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree: ast.Module = compile(transformer.transform_cell("\n".join(code.splitlines())), "", "exec", flags)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree


def _same(code: str, cell: str) -> bool:
    return [line.rstrip() for line in code.strip().splitlines()] == [
        line.rstrip() for line in cell.strip().splitlines()
    ]


def _likeness(code: str, cell: str) -> float:
    return difflib.SequenceMatcher(None, cell, code, autojunk=False).ratio()
