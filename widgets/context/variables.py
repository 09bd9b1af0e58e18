"""Variables of the notebook as context of a prompt: which there are, and what a model is told about each.

The `text` of what is attached is exactly what the model reads. No code of the user runs but the `__repr__` of objects,
and what looks secret is masked, see `widgets.context.masking`.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_hub.client.tokens import clip_to_tokens, estimate_tokens
from widgets.context.masking import MASK, looks_secret, mask_text
from widgets.context.rendering import cell, clean, outline, safe_repr, size
from widgets.context.tables import as_table, describe_table
from widgets.storage.document import Attached

TOKEN_LIMIT = 1000
MOST_CANDIDATES = 50
_FENCE = "~~~~"
_LONGEST_FENCE = 40

# Names that IPython itself puts into the user's namespace.
_IPYTHON = {"In", "Out", "exit", "quit", "get_ipython", "open", "display"}
_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)
_CONTAINERS = (dict, list, tuple, set, frozenset)
_SCALARS = (bool, int, float, complex, type(None))
_PICTURES = {"matplotlib", "altair", "plotly", "bokeh", "PIL", "ipywidgets", "anywidget", "widgets"}
_FRAMES = {"polars", "pyarrow", "dask", "pyspark"}
_OUTLINES = ((200, 4, 200), (50, 3, 120), (20, 3, 80), (10, 2, 60), (5, 2, 40), (3, 1, 30))  # items, depth, width


class UnknownVariableError(LookupError):
    """The notebook has no variable of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The notebook has no variable “{name}”. Run the cell that makes it, or take it out.")

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variable that may be attached.

    Attributes:
        name: Its name.
        kind: What it is in a word ("DataFrame", "list", …).
        summary: What it is in a line.
    """

    name: str
    kind: str
    summary: str


def candidates(prefix: str, namespace: Mapping[str, Any]) -> list[Candidate]:
    """List the variables that may be attached, those whose names begin with `prefix` first.

    Args:
        prefix: What was typed; case does not matter, and it may be in the middle of the name.
        namespace: The notebook's variables.

    Returns:
        At most 50, data before classes and functions, each in alphabetical order; what was imported is none of them.
    """
    wanted = prefix.lower()
    # A copy: another thread may be running a cell.
    found = [(name, value) for name, value in list(namespace.items()) if wanted in name.lower()]
    found = [(name, value) for name, value in found if _attachable(name, value)]
    found.sort(key=lambda item: (not item[0].lower().startswith(wanted), _is_code(item[1]), item[0].lower()))
    found = found[:MOST_CANDIDATES]
    return [Candidate(name, kind_of(value), summary_of(name, value)) for name, value in found]


def named(source: str, namespace: Mapping[str, Any]) -> list[str]:
    """List the variables that a piece of code names, in the order of their first use; it need not be valid code."""
    found = dict.fromkeys(re.findall(r"(?<![\w.])[^\W\d]\w*", source))
    return [name for name in found if name in namespace and _attachable(name, namespace[name])]


def attach(names: Sequence[str], namespace: Mapping[str, Any], *, token_limit: int = TOKEN_LIMIT) -> list[Attached]:
    """Describe variables for a model.

    Args:
        names: Names of the variables; one that is named twice comes once.
        namespace: The notebook's variables.
        token_limit: Most tokens of all texts together, by `litellm_hub.client.tokens`. Variables that need less than an
            equal share leave the rest to the others.

    Raises:
        UnknownVariableError: A name is not in `namespace`.
        ValueError: `token_limit` leaves less than 20 tokens for a variable.
    """
    names = list(dict.fromkeys(names))
    values = []
    for name in names:
        if name not in namespace:
            raise UnknownVariableError(name)
        values.append(namespace[name])
    if names and token_limit < 20 * len(names):
        raise ValueError(f"{token_limit} tokens are too few for {len(names)} variables: each needs at least 20.")
    texts: dict[int, str] = {}
    left, open_places = token_limit, list(range(len(names)))
    wishes = {place: describe(names[place], values[place], token_limit) for place in open_places}
    # From the smallest on, each takes what it needs of its share.
    for done, place in enumerate(sorted(open_places, key=lambda place: estimate_tokens(wishes[place]))):
        share = left // (len(names) - done)
        fits = estimate_tokens(wishes[place]) <= share
        texts[place] = wishes[place] if fits else describe(names[place], values[place], share)
        left -= estimate_tokens(texts[place])
    return [
        Attached(name=name, kind=kind_of(values[place]), text=texts[place], tokens=estimate_tokens(texts[place]))
        for place, name in enumerate(names)
    ]


def describe(name: str, value: Any, token_limit: int) -> str:
    """Return what a model is told about a variable, in at most `token_limit` tokens."""
    room = token_limit - estimate_tokens(_opening(name, _FENCE) + _FENCE)
    body = describe_value(name, value, room).rstrip("\n")
    body = re.sub(f"~{{{_LONGEST_FENCE},}}", "~" * (_LONGEST_FENCE - 1), body)
    fence = max([_FENCE, *(f"{found}~" for found in re.findall("~+", body))], key=len)  # longer than any within
    opening, closing = _opening(name, fence), f"\n{fence}"
    if MASK in body:
        closing = f"\n({MASK} stands for what looks like a secret.){closing}"
    room = token_limit - estimate_tokens(opening + closing)
    while estimate_tokens(text := f"{opening}{clip_to_tokens(body, room)}{closing}") > token_limit and room > 0:
        room -= 1  # where the parts meet, a token or two may be counted more
    return text


def _opening(name: str, fence: str) -> str:
    return f"The notebook's variable `{name}`:\n{fence}\n"


def describe_value(name: str, value: Any, room: int) -> str:
    """Return a description that is cut to about `room` tokens where that takes thought, what looks secret masked."""
    body = _body(name, value, room)
    # No more than this is ever shown; a secret that the cut would leave without its end goes with its line.
    if len(body) > (most := 40 * room + 1000):
        body = body[:most].rpartition("\n")[0] or body[:most]
    return mask_text(clean(body))


def kind_of(value: Any) -> str:
    """Return what a value is, in a word."""
    if (table := as_table(value)) is not None:
        return table.kind
    if _is_array(value):
        return "array"
    kind = type(value)
    if issubclass(kind, type):
        return "class"
    if issubclass(kind, _FUNCTIONS):
        return "function"
    return "None" if value is None else kind.__name__


def summary_of(name: str, value: Any) -> str:
    """Return what a variable is, in a line; takes the same time for all sizes."""
    kind = kind_of(value)
    if (table := as_table(value)) is not None:
        return table.summary
    if kind == "array":
        return f"array {' × '.join(f'{side:,}' for side in value.shape) or 'without dimensions'}, {value.dtype}"  # noqa: RUF001
    if kind == "function":
        return f"function {getattr(value, '__name__', '')}"
    if looks_secret(name):
        return f"{kind}, masked"
    if issubclass(type(value), str):
        return f"{kind}, {str.__len__(value):,} characters"
    if issubclass(type(value), bytes | bytearray):
        return f"{kind}, {len(value):,} bytes"
    if issubclass(type(value), _CONTAINERS):
        return f"{kind}, {size(value):,} item{'' if size(value) == 1 else 's'}"
    if type(value) in _SCALARS:
        return kind if value is None else f"{kind} {safe_repr(value, 40)}"
    return kind


def _attachable(name: str, value: Any) -> bool:
    hidden = name.startswith("_") or name in _IPYTHON
    if hidden or type(value) is types.ModuleType or _library(value) in _PICTURES:
        return False
    return not _is_code(value) or getattr(value, "__module__", None) == "__main__"


def _is_code(value: Any) -> bool:
    return issubclass(type(value), (*_FUNCTIONS, type))


def _body(name: str, value: Any, room: int) -> str:
    kind = type(value)
    if issubclass(kind, (*_FUNCTIONS, type)):
        return _source(value)
    if looks_secret(name):
        return f"{summary_of(name, value)}: its value {MASK} is not sent, because its name looks like a secret."
    if (table := as_table(value)) is not None:
        return describe_table(table, room - 12)
    if _is_array(value):
        return _describe_array(name, value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, _CONTAINERS):
        return _describe_container(name, value, room)
    library = _library(value)
    if kind is types.ModuleType or library in _PICTURES:
        what = "A module" if kind is types.ModuleType else f"{kind.__name__} of {library}: a picture or widget"
        return f"{what} cannot be sent as text. Attach the data behind it."
    if library in _FRAMES:
        return f"{kind.__name__} of {library}: attach it as a pandas frame, for example {name}.to_pandas()."
    return f"{kind.__name__}: {safe_repr(value, 4 * max(room, 1))}"


def _library(value: Any) -> str:
    """Return the package that a value's type comes from."""
    module = getattr(type(value), "__module__", "")
    return module.partition(".")[0] if isinstance(module, str) else ""


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(value), numpy.ndarray)


def _describe_array(name: str, value: Any) -> str:
    import numpy as np

    plain = np.ndarray.view(value, np.ndarray)
    lines = [summary_of(name, plain)]
    if plain.dtype.kind in "iuf" and plain.size:
        chosen = np.random.default_rng(0)
        some = plain
        if plain.size > 10_000:
            some = plain[tuple(chosen.integers(0, side, 10_000) for side in plain.shape)]
            lines.append("Figures from 10,000 random elements:")
        least, mean, most = (cell(figure, 40) for figure in (np.nanmin(some), np.nanmean(some), np.nanmax(some)))
        lines.append(f"min {least}, mean {mean}, max {most}")
    if plain.dtype.kind != "O":
        lines.append(np.array2string(plain, threshold=60, edgeitems=3, floatmode="unique"))
    return "\n".join(lines)


def _describe_container(name: str, value: Any, room: int) -> str:
    text = ""
    for items, depth, width in _OUTLINES:
        text = f"{summary_of(name, value)}\n{outline(value, items=items, depth=depth, width=width)}"
        if estimate_tokens(text) <= room:
            return text
    return text


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        pass
    try:
        head = f"{value.__name__}{inspect.signature(value)}"
    except (AttributeError, TypeError, ValueError):
        head = safe_repr(value)
    return f"{head}\n{inspect.getdoc(value) or ''}".rstrip()
