"""What a function returned, as text for a model."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from typing import Any

import pydantic
import pydantic_core

from widgets.context.rendering import clean, clip, safe_repr
from widgets.context.variables import describe_value

_PLAIN = (
    *(bool, int, float, dict, list, tuple, set, frozenset, enum.Enum, pydantic.BaseModel),
    *(datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath),
)
_CHARACTERS_PER_TOKEN = 4


def as_text(value: Any, limit: int) -> str:
    """Return a result as text: texts as they are, plain data as JSON, tables and other objects described.

    Args:
        value: What the function returned; None gives an empty text.
        limit: Most characters.
    """
    if value is None:
        return ""
    if issubclass(type(value), str):
        return clip(clean(str.__str__(value)), limit)
    if issubclass(type(value), _PLAIN) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        try:
            text = pydantic_core.to_json(value, fallback=_leaf, inf_nan_mode="constants").decode()
            return clip(text, limit)
        except (ValueError, RecursionError):
            pass  # bytes, or data that contains itself
    return clip(describe_value("result", value, limit // _CHARACTERS_PER_TOKEN), limit)


def _leaf(value: Any) -> Any:
    """Return something that JSON can carry for an object inside plain data."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if type(value).__module__ == "numpy" and getattr(value, "size", 10**9) <= 1000:
        return value.tolist()
    return safe_repr(value)
