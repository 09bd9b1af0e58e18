"""The broken cells, as they stand in `cases/`: a file for each kind of error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

FOLDER = Path(__file__).with_name("cases")


@dataclass(frozen=True)
class Case:
    """A broken cell.

    Attributes:
        kind: Kind of the error.
        name: What is wrong, in words.
        setup: Cells that run before it.
        cell: The broken cell.
        fixed: A cell that would do; no model sees it.
        check: What must hold after the corrected cell; no model sees it.
    """

    kind: str
    name: str
    setup: tuple[str, ...]
    cell: str
    fixed: str
    check: str


def read(folder: Path = FOLDER) -> list[Case]:
    """Return all cases, the first of each kind first, so that a part of them has all kinds.

    Raises:
        ValueError: A case lacks a part.
    """
    kinds = [_of_kind(path) for path in sorted(folder.glob("*.txt"))]
    return [case for turn in zip_longest(*kinds) for case in turn if case is not None]


def _of_kind(path: Path) -> list[Case]:
    found = []
    for text in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, *parts = re.split(r"^--- (\w+)\n|\n(?==== )", text, flags=re.MULTILINE)
        pairs = [(title, body.strip("\n")) for title, body in zip(parts[::2], parts[1::2], strict=True)]
        setup = tuple(body for title, body in pairs if title == "setup")
        single = {title: body for title, body in pairs if title != "setup"}
        if set(single) != {"cell", "fixed", "check"}:
            raise ValueError(f"{path.name}: “{name.strip()}” must have a cell, a fixed cell and a check.")
        found.append(Case(path.stem, name.strip(), setup, **single))
    return found
