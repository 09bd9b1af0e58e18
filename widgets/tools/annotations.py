"""Types of a function's parameters as JSON schemas that model runtimes understand."""

from __future__ import annotations

import types
import typing
import warnings
from typing import Any

import typing_extensions
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema


class _Schema(GenerateJsonSchema):
    """pydantic's schema without the titles, which only repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def portable(hint: Any) -> Any:
    """Return a type in which every `TypedDict` is one that pydantic takes (Python 3.11's own is not)."""
    if typing.is_typeddict(hint):
        return _typed_dict(hint)
    arguments = typing.get_args(hint)
    if not arguments or typing.get_origin(hint) is typing.Literal:
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[tuple(portable(argument) for argument in arguments)]  # noqa: UP007 - made at run time
    if typing.get_origin(hint) is typing.Annotated:
        return typing.Annotated[portable(arguments[0]), *arguments[1:]]
    try:
        return typing.get_origin(hint)[tuple(portable(argument) for argument in arguments)]
    except TypeError:  # an origin that cannot be subscribed again has no TypedDict inside either
        return hint


def _typed_dict(hint: Any) -> Any:
    known = typing.get_type_hints(hint, include_extras=True)
    required = {
        name: typing_extensions.Required[portable(kind)]
        if name in hint.__required_keys__
        else typing_extensions.NotRequired[portable(kind)]
        for name, kind in known.items()
    }
    return typing_extensions.TypedDict(hint.__name__, required)  # type: ignore[operator,unused-ignore]


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a function's arguments, each definition put where it is used.

    Runtimes and their chat templates often know nothing of `$defs`; a type that contains itself keeps them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a default that is no JSON is left out, which is all right
        schema = model.model_json_schema(by_alias=True, schema_generator=_Schema)
    definitions = schema.pop("$defs", {})
    plain: dict[str, Any] = _inlined(schema, definitions, ())
    plain.pop("title", None)
    plain.setdefault("properties", {})
    if _refers(plain):
        plain["$defs"] = definitions
    return plain


def _inlined(part: Any, definitions: dict[str, Any], above: tuple[str, ...]) -> Any:
    if isinstance(part, list):
        return [_inlined(item, definitions, above) for item in part]
    if not isinstance(part, dict):
        return part
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions and name not in above:
        inner = _inlined(definitions[name], definitions, (*above, name))
        inner.pop("title", None)
        return {**inner, **{key: value for key, value in part.items() if key != "$ref"}}
    return {
        key: value if key in {"default", "enum", "const"} else _inlined(value, definitions, above)
        for key, value in part.items()
    }


def _refers(part: Any) -> bool:
    if isinstance(part, list):
        return any(_refers(item) for item in part)
    return isinstance(part, dict) and ("$ref" in part or any(_refers(value) for value in part.values()))
