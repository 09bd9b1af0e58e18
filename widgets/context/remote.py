"""What a chat beside a notebook asks the notebook's kernel, which evaluates it as an expression: its text is JSON.

So the notebook's history, its `_` and its counter stay as they are.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import msgspec

from widgets.context.variables import candidates
from widgets.panels.notebook import attach_variables, namespace


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
