"""Variables of a notebook as context: what is offered, what is said of each, and that nothing bad comes of it."""

from __future__ import annotations

import csv
import dataclasses
import math
import string
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hub.client.tokens import estimate_tokens
from widgets.context.tables import SAMPLE_ROWS, as_table, describe_table
from widgets.context.variables import UnknownVariableError, attach, candidates
from widgets.storage.document import Attached


def one(value: object, name: str = "x", limit: int = 1000) -> Attached:
    [found] = attach([name], {name: value}, token_limit=limit)
    return found


def frame(rows: int = 1000) -> pd.DataFrame:
    numbers = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "price": np.where(np.arange(rows) % 4 == 0, np.nan, numbers.normal(100, 10, rows)),
            "city": numbers.choice(["Berlin", "Paris", "Rome"], rows),
            "when": pd.date_range("2024-01-01", periods=rows, freq="h"),
            "open": np.arange(rows) % 2 == 0,
            "api_key": "sk-verysecretindeed",
        }
    )


def helper(a: int) -> int:
    """Help."""
    return a


helper.__module__ = "__main__"  # as in a notebook
NAMESPACE: dict[str, Any] = {
    "Attached": Attached,
    "dataclass": dataclasses.dataclass,
    "df": frame(),
    "items": [1, 2, 3],
    "one_item": (1,),
    "text": "hello",
    "n": 42,
    "password": "hunter2",
    "matrix": np.zeros((3, 1000)),
    "helper": helper,
    "pd": pd,
    "_private": 1,
    "In": [],
    "exit": object(),
}


def test_variables_are_offered_with_a_line_about_each() -> None:
    offered = candidates("", NAMESPACE)
    assert offered[-1].name == "helper", "data come first"
    assert {found.name: found.summary for found in offered} == {
        "df": "DataFrame 1,000 × 5",  # noqa: RUF001
        "helper": "function helper",
        "items": "list, 3 items",
        "matrix": "array 3 × 1,000, float64",  # noqa: RUF001
        "n": "int 42",
        "one_item": "tuple, 1 item",
        "password": "str, masked",
        "text": "str, 5 characters",
    }


@pytest.mark.parametrize(
    ("prefix", "names"), [("IT", ["items", "one_item"]), ("df", ["df"]), ("zz", []), ("pd", []), ("_p", [])]
)
def test_names_that_begin_as_typed_come_first(prefix: str, names: list[str]) -> None:
    assert [found.name for found in candidates(prefix, NAMESPACE)] == names


def test_a_frame_goes_in_with_types_statistics_and_rows() -> None:
    found = one(frame(), "df")
    assert found.kind == "DataFrame"
    assert found.tokens == estimate_tokens(found.text)
    assert found.text.startswith("The notebook's variable `df`:\n~~~~\nDataFrame 1,000 × 5\n")  # noqa: RUF001
    assert "- price: float64, 250 missing, min " in found.text
    assert "- city: str, 3 distinct, most frequent: " in found.text
    assert "- when: datetime64[us], 2024-01-01 00:00:00 to 2024-02-11 15:00:00" in found.text
    assert "- open: bool, 2 distinct, most frequent: True (500); False (500)" in found.text
    assert "random ones as CSV:\n,price,city,when,open,api_key\n0,," in found.text
    assert found.text == one(frame(), "df").text, "the sample is the same each time"


def test_secrets_stay_at_home() -> None:
    found = one(frame(), "df").text
    assert "verysecret" not in found
    assert "- api_key: str, masked" in found
    assert "[masked] stands for what looks like a secret" in found
    assert "hunter2" not in one("hunter2", "password").text
    assert "hunter2" not in one({"db": {"password": "hunter2"}}).text
    assert "hunter2" not in one("DB_PASSWORD=hunter2\n" * 500, "settings", 100).text
    assert "verysecret" not in one(["sk-verysecretindeed"]).text


@settings(max_examples=10)
@given(st.integers(20, 3000), st.sampled_from([1, 7, 60]), st.integers(1, 120))
def test_a_frame_never_takes_more_than_its_tokens(limit: int, rows: int, columns: int) -> None:
    wide = pd.DataFrame(
        {f"column {place} {'x' * (place % 40)}": ["some text", 5][place % 2] for place in range(columns)},
        index=range(rows),
    )
    found = one(wide, limit=limit)
    assert found.tokens <= limit
    if limit > 150:
        assert "column 0" in found.text


def values() -> st.SearchStrategy[Any]:
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.sets(st.integers())
        ),
        max_leaves=30,
    )


@settings(max_examples=40)
@given(st.lists(values(), min_size=1, max_size=4), st.integers(100, 2000))
def test_any_values_share_the_tokens(some: list[Any], limit: int) -> None:
    namespace = dict(zip(string.ascii_lowercase, some, strict=False))
    found = attach(list(namespace), namespace, token_limit=limit)
    assert [each.name for each in found] == list(namespace)
    assert sum(each.tokens for each in found) <= limit
    assert all(each.tokens == estimate_tokens(each.text) for each in found)
    "".join(each.text for each in found).encode()


COLUMNS = {
    "float": st.floats(),
    "whole": st.integers(-(2**63), 2**63 - 1),
    "id": st.none() | st.integers(0, 2**53).map(float),
    "text": st.text(string.ascii_letters + string.digits + " ~,;\"'ä|…", max_size=40),
    "when": st.datetimes(pd.Timestamp("1700-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime()),
    "kind": st.sampled_from("abc"),
}


@settings(max_examples=60)
@given(st.lists(st.fixed_dictionaries(COLUMNS), min_size=1, max_size=10))
def test_every_value_that_is_shown_is_the_frames(rows: list[dict[str, Any]]) -> None:
    held = pd.DataFrame(rows).astype({"kind": pd.CategoricalDtype(list("abcd"))}).set_index("whole")
    text = one(held, limit=5000).text
    fence = text.splitlines()[1]
    body = text.partition(f"{fence}\n")[2].removesuffix(f"\n{fence}")
    read = list(csv.DictReader(body.partition("All rows as CSV:\n")[2].splitlines()))
    assert len(read) == len(rows)
    for shown, (whole, *values) in zip(read, held.itertuples(), strict=True):
        assert int(shown["whole"]) == whole
        for column, value in zip(held.columns, values, strict=True):
            if pd.isna(value):
                assert shown[column] == ""
            elif isinstance(value, float):
                assert float(shown[column]) == value
            else:
                assert shown[column] == str(value)
    line = next(line for line in body.splitlines() if line.startswith("- id: "))
    if (ids := held["id"].dropna()).size:
        assert f"min {ids.min():.0f}," in line
        assert line.endswith(f"max {ids.max():.0f}")


def test_small_variables_leave_their_share_to_large_ones() -> None:
    namespace = {"n": 1, "text": "word " * 5000}
    small, large = attach(["n", "text"], namespace, token_limit=1000)
    assert small.tokens < 50
    assert large.tokens > 900


def test_the_source_of_a_function_is_no_secret_whatever_its_name() -> None:
    assert "def helper" in one(helper, "get_token").text


def test_a_name_is_attached_once_and_an_unknown_one_refused() -> None:
    assert [each.name for each in attach(["n", "n"], {"n": 1})] == ["n"]
    with pytest.raises(UnknownVariableError, match=r"no variable “m”\. Run the cell"):
        attach(["m"], {"n": 1})
    with pytest.raises(ValueError, match="too few for 2 variables"):
        attach(["n", "m"], {"n": 1, "m": 2}, token_limit=30)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pd.Series([1, 2, None], name="s"), "Series 3 × 1"),  # noqa: RUF001
        (pd.DataFrame(), "DataFrame 0 × 0"),  # noqa: RUF001
        (pd.DataFrame({"a": [1, 2]}), "All rows as CSV"),
        (pd.DataFrame([[1, 2]], columns=["same", "same"]), "- same: int64"),
        (pd.DataFrame({("a", 1): [1]}), "('a', 1): int64"),
        (pd.DataFrame({"o": [[1], {2}, "x"]}), "objects: list, set, str"),
        (pd.DataFrame({"c": pd.Categorical(["a", "b", "a"])}), "2 distinct, most frequent: a (2)"),
        (pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}), "Int64, 1 missing"),
        (pd.DataFrame({"n": [1j]}), "complex128"),
        (pd.DataFrame({"n": [math.inf]}), "max inf"),
        (np.arange(5), "array 5, int64\nmin 0, mean 2, max 4\n[0 1 2 3 4]"),
        (np.array(3.5), "array without dimensions, float64"),
        (np.array([], dtype=float), "array 0, float64"),
        (np.array(["a"]), "['a']"),
        ({"a": [1, {"b": None}]}, "'a': [1, {'b': None}]"),
        (OrderedDict(a=1), "OrderedDict, 1 item"),
        (helper, "def helper(a: int) -> int:"),
        (len, "len(obj, /)"),
        (math, "A module cannot be sent as text"),
        ("line\n~~~~\nend", "`x`:\n~~~~~\nline\n~~~~\nend\n~~~~~"),
        ("file\udce4name", "file?name"),
        (pd.DataFrame({"c": pd.Categorical(["a"], ["a", "b"])}), "1 distinct, most frequent: a (1)\n"),
        (pd.DataFrame({"id": [10000001, 10000002, None]}), "min 10000001, median 10000001.5, mean 10000001.5, max"),
        (pd.DataFrame({"id": [2**63 - 1, 5]}), f"max {2**63 - 1}\n"),
        (pd.DataFrame({"f": np.array([0.1], "float32")}), "CSV:\n,f\n0,0.1\n"),
        (pd.DataFrame({"t": ["a\n  b"]}), "0,a\\n  b\n"),
        (pd.DataFrame({"g": ["x"], "v": [1]}).groupby("g").sum(), "- g: index, str, 1 distinct"),
        (pd.DataFrame({"g": ["x"], "v": [1]}).groupby("g").sum(), "CSV:\ng,v\nx,1\n"),
        (pd.DataFrame({"r": ["x"], "y": [2024], "v": [1]}).pivot(index="r", columns="y", values="v"), "Columns by y:"),
        (pd.DataFrame({"r": ["x"], "y": [2024], "v": [1]}).set_index(["r", "y"]), "CSV:\nr,y,v\nx,2024,1\n"),
        (pd.DataFrame({"v": [1]}, index=pd.Index(["sk-verysecretindeed"], name="api_key")), "[masked],1\n"),
        (np.array([10000001.5]), "min 10000001.5, mean 10000001.5, max 10000001.5\n[10000001.5]"),
        (3.25, "float: 3.25"),
    ],
)
def test_what_is_said_of_a_value(value: object, words: str) -> None:
    assert words in one(value).text


def test_a_picture_is_refused_with_the_remedy() -> None:
    import altair

    chart = altair.Chart(pd.DataFrame({"a": [1]})).mark_bar()
    assert candidates("", {"chart": chart}) == []
    assert "Attach the data behind it" in one(chart, "chart").text


class Hostile:
    """Everything about it fails or lies."""

    touched: ClassVar[list[str]] = []

    def __repr__(self) -> str:
        raise RuntimeError("never mind")

    def __getattr__(self, name: str) -> Any:
        self.touched.append(name)
        raise RuntimeError(name)

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        self.touched.append("__class__")
        return pd.DataFrame

    def __len__(self) -> int:
        self.touched.append("len")
        return 10**9

    def __iter__(self) -> Iterator[int]:
        self.touched.append("iter")
        return iter(range(10**9))

    def __eq__(self, other: object) -> bool:
        self.touched.append("eq")
        raise RuntimeError

    def __hash__(self) -> int:
        self.touched.append("hash")
        raise RuntimeError


class HostileDict(dict[str, Any]):
    """A dict that ends the program."""

    def items(self) -> Any:
        raise SystemExit

    def __iter__(self) -> Any:
        raise SystemExit

    def __len__(self) -> int:
        raise SystemExit


class HostileText(str):
    """A text with a mind of its own."""

    def __str__(self) -> str:
        raise SystemExit

    def __len__(self) -> int:
        raise SystemExit


class Endless:
    """A repr without end."""

    def __repr__(self) -> str:
        return f"<{[self]}>"


HOSTILE = {
    "object": Hostile(),
    "in a list": [Hostile()],
    "in a dict": {"a": Hostile()},
    "dict": HostileDict(a=1),
    "text": HostileText("hi"),
    "repr": Endless(),
    "repr in a list": [Endless()],
}


@pytest.mark.parametrize("which", HOSTILE)
def test_hostile_objects_are_described_all_the_same(which: str) -> None:
    value = HOSTILE[which]
    Hostile.touched.clear()
    assert one(value).tokens < 200
    assert [found.name for found in candidates("", {"x": value})] == ["x"]
    assert Hostile.touched == []


def test_a_frame_of_hostile_objects_calls_nothing_but_their_repr() -> None:
    held = pd.DataFrame({"a": [Hostile()] * 3})
    Hostile.touched.clear()  # pandas itself asks when it makes the frame
    assert "objects: Hostile" in one(held).text
    assert Hostile.touched == []


def test_an_object_with_a_secret_in_its_repr_is_masked() -> None:
    class Config:
        def __repr__(self) -> str:
            return "Config(host='h', api_key='abcdefgh')"

    assert "Config(host='h', api_key='[masked]')" in one(Config()).text


def test_data_that_contains_itself_ends() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    assert "{…}" in one(loop).text


def test_of_ten_million_rows_only_a_sample_is_looked_at() -> None:
    table = as_table(pd.DataFrame(np.zeros((10_000_000, 2), dtype="int8"), columns=["a", "b"]))
    assert table is not None
    taken: list[int] = []

    def take(rows: list[int], most: int) -> pd.DataFrame:
        taken.append(len(rows))
        return table.take(rows, most)

    text = describe_table(dataclasses.replace(table, take=take), 1000)
    assert "DataFrame 10,000,000 × 2\nColumns (statistics from a random sample of 10,000 rows)" in text  # noqa: RUF001
    assert max(taken) == SAMPLE_ROWS
    assert len(taken) <= 6
