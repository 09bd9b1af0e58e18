"""What a chat beside a notebook asks the notebook's kernel, which evaluates it as an expression: its text is JSON.

So the notebook's history, its `_` and its counter stay as they are.
"""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import asdict
from typing import Any

import msgspec

from widgets.context.variables import attach, candidates, named
from widgets.panels.notebook import attach_variables, namespace

CELL_TOKENS = 800  # of all variables that a cell names
MOST_NAMED = 12


class Json:
    """A value whose text is JSON."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return json.dumps(self._value)


def offered(prefix: str) -> Json:
    """The variables that may be attached, as `widgets.context.variables.candidates` gives them."""
    return Json([asdict(found) for found in candidates(prefix, namespace())])


def described(names: list[str], context: int | None) -> Json:
    """Variables as what goes along with a prompt, at most half of a context of so many tokens.

    Raises:
        UnknownVariableError: There is no such variable.
        ValueError: There are too many for the context.
    """
    return Json(msgspec.to_builtins(attach_variables(names, context)))


def of_cell(source: str, error: str = "") -> Json:
    """What a model should know that is to write a cell anew: the fields of `widgets.fixing.prompt.Cell` for it.

    Args:
        source: The cell.
        error: The message that it ended with.
    """
    variables = namespace()
    names = named(source, variables)[:MOST_NAMED]
    others = [found.name for found in candidates("", variables) if found.name not in names]
    told = msgspec.to_builtins(attach(names, variables, token_limit=CELL_TOKENS))
    return Json({"variables": told, "others": others[:MOST_NAMED], "hint": hint(error)})


def hint(error: str) -> str:
    """Which attributes there are instead of one that the last error did not find; empty if it was another error."""
    last = getattr(sys, "last_value", None)
    if not isinstance(last, AttributeError) or not last.name or str(last) != error:
        return ""
    known = [name for name in dir(last.obj) if not name.startswith("_")]
    close = difflib.get_close_matches(last.name.lower(), [name.lower() for name in known], 3, 0.6)
    names = [name for name in known if name.lower() in close]
    return f"There is no `{last.name}`, but there is: {', '.join(names)}." if names else ""
