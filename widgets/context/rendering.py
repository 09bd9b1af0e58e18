"""Plain text out of any value, short and safe: nothing of a value is called but the `__repr__` of its leaves.

Types are asked for with `type`, because `isinstance` believes what an object says of itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from widgets.context.masking import MASK, looks_secret

_TRUSTED = {"datetime", "decimal", "numpy", "pandas"}  # whose objects' texts are fit for a table
_SHORT = 40
_WHOLE = 2.0**53  # up to here a float holds each whole number
_LINES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\f": "\\f"})


def clean(text: str) -> str:
    """Return `text` without half surrogate pairs: a browser or a file's name may hold them, and no file takes them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def clip(text: str, limit: int) -> str:
    """Return `text` with at most `limit` characters; where some are left out, their number stands in the middle."""
    if len(text) <= limit:
        return text
    mark = f" … {len(text) - limit:,} characters left out … "
    room = limit - len(mark)
    if room < 20:
        return f"{text[: limit - 1]}…" if limit > 0 else ""
    head = room * 2 // 3
    return f"{text[:head]}{mark}{text[len(text) - (room - head) :]}"


def safe_repr(value: object, limit: int = 200) -> str:
    """Return the `repr` of a value that is no container, with at most `limit` characters; it never raises."""
    kind = type(value)
    if kind in (str, bytes) and len(value) > limit:  # type: ignore[arg-type]
        return f"{value[: max(limit - 30, 1)]!r}… ({len(value):,} long)"  # type: ignore[index,arg-type]
    try:
        text = repr(value)
        if type(text) is not str:
            text = str.__str__(text)
    except Exception as error:  # noqa: BLE001 - the object's own code may fail in any way
        return f"<{kind.__name__}, whose repr fails with {type(error).__name__}>"
    return clip(clean(text), limit)


def cell(value: Any, limit: int) -> str:
    """Return a value as the cell of a table: one line, texts without quotes.

    Args:
        value: Anything.
        limit: Most characters of a text; numbers and dates are never cut, since half a number is another one.
    """
    kind = type(value)
    if issubclass(kind, float) and (kind is float or kind.__module__ == "numpy"):
        return number(float(value))
    if kind is int or kind.__module__.partition(".")[0] in _TRUSTED:
        text, limit = str(value), max(limit, _SHORT)
    elif kind is str:
        text = clean(value[: limit + 1])
    else:
        text = " ".join(safe_repr(value, limit * 2).split())
    text = text.translate(_LINES)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def number(value: float) -> str:
    """Return a float with all its digits and no more, a whole one without a point."""
    return f"{value:.0f}" if value.is_integer() and abs(value) <= _WHOLE else repr(value)


def outline(value: object, *, items: int, depth: int, width: int) -> str:
    """Return nested dicts, lists, tuples and sets as text like Python's, clipped, one item a line unless all are short.

    Args:
        value: Anything; what is no container is shown by its `repr`.
        items: Most items of a container that are shown.
        depth: Most levels that are shown.
        width: Most characters of a leaf.
    """
    parts = list(_items(value, items, depth, width, ()))
    opening, closing = _brackets(value)
    if not opening:
        return safe_repr(value, width)
    if not issubclass(type(value), dict) and all(len(part) <= _SHORT for part in parts):
        return opening + ", ".join(parts) + closing
    return f"{opening}\n" + "".join(f"  {part},\n" for part in parts) + closing


def _outline(value: object, items: int, depth: int, width: int, above: tuple[int, ...]) -> str:
    opening, closing = _brackets(value)
    if not opening:
        return safe_repr(value, width)
    if id(value) in above:
        return f"{opening}…{closing}"
    if depth <= 0:
        return f"{opening}{size(value):,} items{closing}" if size(value) else opening + closing
    return opening + ", ".join(_items(value, items, depth, width, above)) + closing


def _items(value: Any, items: int, depth: int, width: int, above: tuple[int, ...]) -> Iterator[str]:
    above = (*above, id(value))
    if issubclass(type(value), dict):
        for key, item in itertools.islice(dict.items(value), items):
            shown = MASK if type(key) is str and looks_secret(key) else _outline(item, items, depth - 1, width, above)
            yield f"{safe_repr(key, width)}: {shown}"
    elif base := _sequence(value):
        for item in itertools.islice(base.__iter__(value), items):
            yield _outline(item, items, depth - 1, width, above)
    if size(value) > items:
        yield f"… {size(value) - items:,} more"


def _sequence(value: object) -> Any:
    return next((base for base in (list, tuple, set, frozenset) if issubclass(type(value), base)), None)


def size(value: Any) -> int:
    """Return the number of items of a built-in container, whatever its own `__len__` says; 0 for other things."""
    base = dict if issubclass(type(value), dict) else _sequence(value)
    return base.__len__(value) if base else 0


def _brackets(value: object) -> tuple[str, str]:
    if issubclass(type(value), dict):
        return "{", "}"
    base = _sequence(value)
    return {None: ("", ""), list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("{", "}")}[base]
