"""Python functions as tools that a model may ask to be called.

The schema comes from the signature's types and the docstring (Google, numpy or reST style). What the model writes as
arguments is checked against it, and whatever goes wrong is told to the model in plain words, so that it can do better.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticUndefinedAnnotation

from widgets.context.rendering import clip, safe_repr
from widgets.tools.annotations import json_schema, portable
from widgets.tools.execution import captured, run
from widgets.tools.results import as_text

RESULT_LIMIT = 8000  # characters
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DOCUMENTED = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}


class ToolError(ValueError):
    """A function that cannot be offered to a model; the message says why and what to change."""


class ToolResult(NamedTuple):
    """What became of a call.

    Attributes:
        text: What the model is told.
        failed: True if the function was not called, or raised.
    """

    text: str
    failed: bool = False


class Tool:
    """A function that a model may ask to be called; made by `Tool.of`.

    Attributes:
        name: Name of the tool.
        description: What it does, from the docstring.
        schema: The tool as the `tools` of a request carry it.
    """

    def __init__(self, function: Callable[..., Any], name: str, description: str, model: type[BaseModel]) -> None:
        self.name = name
        self.description = description
        self._function = function
        self._model = model
        self._by_field = {field: info.alias or field for field, info in model.model_fields.items()}
        parameters = json_schema(model)
        self.schema = {
            "type": "function",
            "function": {"name": name, "description": description, "parameters": parameters},
        }

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    @classmethod
    def of(cls, function: Callable[..., Any], *, name: str | None = None, description: str | None = None) -> Tool:
        """Make a tool of a function, a method or a coroutine function.

        Args:
            function: Parameters need types that JSON can carry (str, int, float, bool, list, dict, Literal, Enum,
                dataclasses, TypedDict, date and more); one without a type takes anything. `*args` and `**kwargs` are
                left alone.
            name: Name of the tool; default: the function's.
            description: What it does; default: from the docstring.

        Raises:
            ToolError: It has no usable name, or a parameter of a type that a model cannot write.
        """
        if isinstance(function, Tool):
            return function
        name = str(name or getattr(getattr(function, "func", function), "__name__", ""))
        if not callable(function) or not _NAME.fullmatch(name):
            what = f"“{name}”" if name else safe_repr(function)
            raise ToolError(f"{what} is no name for a tool: give a function a name of letters, digits, _ and -.")
        doc = docstring_parser.parse(inspect.getdoc(getattr(function, "func", function)) or "")
        if description is None:
            description = "\n\n".join(part for part in (doc.short_description, doc.long_description) if part)
        documented = {parameter.arg_name: parameter for parameter in doc.params}
        fields: dict[str, Any] = {}
        for place, parameter in enumerate(_parameters(function, name)):
            about = documented.get(parameter.name)
            # A field of another name than the parameter, which might mean something to pydantic.
            fields[f"parameter_{place}"] = _field(parameter, about.description if about else None, about)
        model = _checked(name, fields)
        return cls(function, name, description, model)

    def call(self, arguments: str) -> str:
        """Call the function with the model's arguments and return what the model is told; see `run`."""
        return self.run(arguments).text

    def run(self, arguments: str, *, limit: int = RESULT_LIMIT) -> ToolResult:
        """Call the function with the model's arguments; a coroutine is waited for.

        Args:
            arguments: JSON text of an object.
            limit: Most characters of the result.

        Returns:
            What the function printed and returned, as text, or what went wrong. It raises nothing but what asks the
            whole kernel to stop.
        """
        values = self._values(arguments)
        if isinstance(values, str):
            return ToolResult(clip(values, limit), failed=True)
        with captured() as printed:
            try:
                text = as_text(run(self._function, *values), limit)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's function may raise anything
                failure: BaseException | None = error
            else:
                failure = None
        if failure is not None:
            text = f"{self.name} failed: {type(failure).__name__}: {_message(failure)}"
        out = printed.getvalue().rstrip("\n")
        if out:
            text = f"{out}\n{text}" if text else out
        return ToolResult(clip(text or f"{self.name} returned nothing.", limit), failed=failure is not None)

    def _values(self, arguments: str) -> tuple[list[Any], dict[str, Any]] | str:
        """Return positional and keyword arguments, or what is wrong with what the model wrote."""
        try:
            given = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError) as error:
            return f"The arguments of {self.name} are no JSON: {error}. Nothing was called."
        if not isinstance(given, dict):
            return f"The arguments of {self.name} must be a JSON object. Nothing was called."
        try:
            checked = self._model.model_validate(given)
        except ValidationError as error:
            wrong = "\n".join(
                f"- {_place(problem['loc'])}: {problem['msg']}" for problem in error.errors(include_url=False)
            )
            return f"The arguments of {self.name} do not fit its parameters:\n{wrong}\nNothing was called."
        given_fields = checked.model_fields_set
        positional: list[Any] = []
        named: dict[str, Any] = {}
        by_name = {self._by_field[field]: getattr(checked, field) for field in self._by_field if field in given_fields}
        for parameter in _parameters(self._function, self.name):
            if parameter.name not in by_name:
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(by_name[parameter.name])
            else:
                named[parameter.name] = by_name[parameter.name]
        return positional, named


def tools_of(functions: Iterable[Callable[..., Any] | Tool]) -> dict[str, Tool]:
    """Make tools of functions, by name.

    Raises:
        ToolError: Two have the same name, or one cannot be a tool.
    """
    found: dict[str, Tool] = {}
    for function in functions:
        tool = function if isinstance(function, Tool) else Tool.of(function)
        if tool.name in found:
            raise ToolError(f"Two tools have the name “{tool.name}”: give one another with Tool.of(…, name=…).")
        found[tool.name] = tool
    return found


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise ToolError(f"A type in the signature of {name} is not known: {error}.") from error
    except (TypeError, ValueError) as error:
        raise ToolError(f"{name} has no signature that Python can read: wrap it in a function of your own.") from error
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter for parameter in signature.parameters.values() if parameter.kind not in kinds]


def _field(parameter: inspect.Parameter, description: str | None, about: Any) -> tuple[Any, Any]:
    hint, default = parameter.annotation, parameter.default
    if hint is parameter.empty:
        documented = (getattr(about, "type_name", None) or "").split(",")[0].strip()
        hint = _DOCUMENTED.get(documented, Any)
        if hint is Any and type(default) in _DOCUMENTED.values():
            hint = type(default)
    shown = Field(alias=parameter.name, description=description)
    if default is parameter.empty:
        return portable(hint), shown
    return portable(hint), Field(default, alias=parameter.name, description=description)


def _checked(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    """Make the model of the arguments; try each parameter alone where that fails, to name the one that is at fault."""
    config = ConfigDict(extra="forbid")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: type[BaseModel] = create_model(name, __config__=config, **fields)
            json_schema(model)
            return model
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        if len(fields) > 1:
            for field, definition in fields.items():
                _checked(name, {field: definition})
        [(hint, info), *_] = fields.values()
        kind = getattr(hint, "__name__", str(hint))
        raise ToolError(
            f"{name}: the parameter “{info.alias}” has the type {kind}, which a model cannot write as JSON. "
            "Take a name, a number or a list of these instead, and look the object up in the function."
        ) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "arguments"


def _message(error: BaseException) -> str:
    try:
        return str(error) or "no message"
    except Exception:  # noqa: BLE001 - the exception's own code may fail
        return "its message cannot be read"
