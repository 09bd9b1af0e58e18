"""Python functions as tools: what a model is told about them, and what becomes of its calls."""

from __future__ import annotations

import asyncio
import enum
import functools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, NotRequired, TypedDict

import pandas as pd
import pytest

from widgets.tools.tool import Tool, ToolError, tools_of


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


@dataclass
class Place:
    city: str
    country: str = "DE"


class Options(TypedDict):
    places: list[Place]
    deep: NotRequired[bool]


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = Tool.of(function).schema["function"]["parameters"]
    return found


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = parameters(function)["properties"]
    return found


def test_a_function_becomes_a_schema_in_openais_form() -> None:
    def weather(city: str, days: int = 3) -> str:
        """Tell the weather.

        From a very good source.

        Args:
            city: Where,
                in one word.
            days: How far ahead.
        """
        return city * days

    tool = Tool.of(weather)
    assert tool.name == "weather"
    assert tool.description == "Tell the weather.\n\nFrom a very good source."
    assert tool.schema == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": tool.description,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where,\nin one word."},
                    "days": {"type": "integer", "default": 3, "description": "How far ahead."},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "DE"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Unit, {"type": "string", "enum": ["celsius", "kelvin"]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (date, {"type": "string", "format": "date"}),
        (Place, PLACE),
        (list[Place], {"type": "array", "items": PLACE}),
        (
            Options,
            {
                "type": "object",
                "properties": {"places": {"type": "array", "items": PLACE}, "deep": {"type": "boolean"}},
                "required": ["places"],
                "additionalProperties": False,
            },
        ),
        (Any, {}),
    ],
)
def test_types_become_schemas_without_references(hint: Any, schema: dict[str, Any]) -> None:
    def function(x):  # type: ignore[no-untyped-def]
        return x

    function.__annotations__["x"] = hint
    found = properties(function)["x"]
    assert found == schema


def test_a_type_that_contains_itself_keeps_its_definition() -> None:
    schema = parameters(plant)
    assert schema["$defs"]["Tree"]["properties"]["branches"]["items"] == {"$ref": "#/$defs/Tree"}
    assert Tool.of(plant).call('{"tree": {"branches": [{"branches": []}]}}') == "1"


@dataclass
class Tree:
    branches: list[Tree]


def plant(tree: Tree) -> int:
    return len(tree.branches)


NUMPY = """Add.

Parameters
----------
a : int
    The first.
"""
REST = """Add.

:param a: The first.
:type a: int
"""


@pytest.mark.parametrize("docstring", [NUMPY, REST, "Add.\n\nArgs:\n    a (int): The first.\n"])
def test_all_styles_of_docstrings_are_read_also_for_types(docstring: str) -> None:
    def add(a):  # type: ignore[no-untyped-def]
        return a

    add.__doc__ = docstring
    assert Tool.of(add).description == "Add."
    assert properties(add) == {"a": {"type": "integer", "description": "The first."}}


def test_defaults_give_a_type_where_nothing_else_does() -> None:
    assert properties(lambda_with_default) == {"n": {"type": "integer", "default": 3}}


def lambda_with_default(n=3):  # type: ignore[no-untyped-def]
    return n


def test_names_that_mean_something_to_pydantic_are_only_names() -> None:
    def odd(schema: str, model_config: int, _private: int, json: dict[str, int], /, copy: bool, *, title: str) -> Any:
        return [schema, model_config, _private, json, copy, title]

    said = Tool.of(odd).call(
        '{"schema": "s", "model_config": 1, "_private": 2, "json": {"a": 3}, "copy": true, "title": "t"}'
    )
    assert said == '["s",1,2,{"a":3},true,"t"]'
    assert properties(odd)["title"] == {"type": "string"}


def test_methods_partials_and_star_arguments_work() -> None:
    class Shop:
        def price(self, item: str, *rest: int, **more: int) -> str:
            """Tell a price."""
            return f"{item} {rest} {more}"

    assert Tool.of(Shop().price).call('{"item": "tea"}') == "tea () {}"
    part = functools.partial(Shop().price, "tea")
    assert Tool.of(part).name == "price"
    assert Tool.of(part).description == "Tell a price."
    assert Tool.of(part).call("") == "tea () {}"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: 1, "no name for a tool"),
        (5, "no name for a tool"),
        (pd.DataFrame, "is not known"),
        (next, "no signature"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function: Any, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        Tool.of(function)


def test_a_type_that_no_model_can_write_is_named_with_its_parameter() -> None:
    def plot(title: str, frame: pd.DataFrame) -> None:
        """Plot."""

    with pytest.raises(ToolError, match=r"plot: the parameter “frame” has the type DataFrame.*look the object up"):
        Tool.of(plot)


def test_an_unknown_type_is_named() -> None:
    def late(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Late."""

    with pytest.raises(ToolError, match="Nowhere"):
        Tool.of(late)


def test_two_tools_of_one_name_are_refused() -> None:
    tools = tools_of([plant, Tool.of(plant, name="plant2")])
    assert list(tools) == ["plant", "plant2"]
    with pytest.raises(ToolError, match="Two tools"):
        tools_of([plant, plant])


def add(a: int, b: int = 1) -> int:
    return a + b


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"a": 2}', "3"),
        ('{"a": 2, "b": 40}', "42"),
        ('{"a": "2"}', "3"),  # models write numbers as texts now and then
        (
            "{bad",
            "The arguments of add are no JSON: Expecting property name enclosed in double quotes: line 1 column 2",
        ),
        ("[1]", "The arguments of add must be a JSON object. Nothing was called."),
        ("", "a: Field required"),
        ('{"a": "x"}', "a: Input should be a valid integer"),
        ('{"a": 1, "c": 2}', "c: Extra inputs are not permitted"),
    ],
)
def test_arguments_are_checked_and_errors_are_told(arguments: str, said: str) -> None:
    result = Tool.of(add).run(arguments)
    assert said in result.text
    assert result.failed == (not result.text.isdigit())


def test_an_exception_is_told_in_a_line() -> None:
    def boom() -> None:
        print("before")
        raise ValueError("no such city")

    result = Tool.of(boom).run("{}")
    assert result == ("before\nboom failed: ValueError: no such city", True)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [SystemExit(3), UnspeakableError(), RecursionError("deep")])
def test_no_exception_gets_out(error: BaseException) -> None:
    def boom() -> None:
        raise error

    assert Tool.of(boom).run("").text.startswith(f"boom failed: {type(error).__name__}: ")


async def slowly(n: int) -> int:
    await asyncio.sleep(0)
    print("awaited")
    return n * 2


def test_coroutines_are_waited_for_with_and_without_a_running_loop() -> None:
    async def inside() -> str:
        return Tool.of(slowly).call('{"n": 2}')

    assert Tool.of(slowly).call('{"n": 2}') == "awaited\n4"
    assert asyncio.run(inside()) == "awaited\n4"


def test_only_what_the_tool_prints_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def speak() -> None:
        print("from the tool")
        entered.set()
        leave.wait(10)

    real = sys.stdout
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(Tool.of(speak).call("")))
    thread.start()
    assert entered.wait(10)
    print("from a cell")
    assert Tool.of(add, name="inner").call('{"a": 1}') == "2"
    leave.set()
    thread.join(10)
    assert said == ["from the tool"]
    assert capsys.readouterr().out == "from a cell\n"
    assert sys.stdout is real


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "give returned nothing."),
        ("plain text", "plain text"),
        ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
        ({"ü"}, '["ü"]'),
        (Place("Köln"), '{"city":"Köln","country":"DE"}'),
        (date(2024, 1, 2), '"2024-01-02"'),
        ([float("nan")], "[NaN]"),
        (b"\xff", "bytes: b'\\xff'"),
    ],
)
def test_results_become_text(value: Any, text: str) -> None:
    assert Tool.of(lambda: value, name="give").call("") == text


def test_a_frame_is_summarised() -> None:
    frame = pd.DataFrame({"n": range(5000), "password": "hunter2"})
    text = Tool.of(lambda: frame, name="give").call("")
    assert "DataFrame 5,000 × 2" in text  # noqa: RUF001
    assert "n: int64, min 0" in text
    assert "hunter2" not in text


def test_numbers_of_numpy_are_numbers() -> None:
    frame = pd.DataFrame({"n": [1, 2]})
    assert Tool.of(lambda: {"sum": frame["n"].sum()}, name="give").call("") == '{"sum":3}'


def test_data_that_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "[…]" in Tool.of(lambda: loop, name="give").call("")


def test_a_long_result_is_cut_in_the_middle_and_says_so() -> None:
    result = Tool.of(lambda: "a" * 50_000 + "end", name="give").run("", limit=1000)
    assert len(result.text) == 1000
    assert result.text.startswith("aaa")
    assert result.text.endswith("end")
    assert "49,003 characters left out" in result.text
