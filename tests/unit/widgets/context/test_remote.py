from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pandas as pd
import pytest

from widgets.context import remote
from widgets.fixing.prompt import Cell


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    made: dict[str, Any] = {
        "frame": pd.DataFrame({"weight": [10000001, 2]}),
        "limit": 3,
        "unused": "x",
        "pd": pd,
        "_": 42,
        "In": [],
    }
    monkeypatch.setattr(remote, "namespace", lambda: made)
    return made


def told(source: str, error: str = "") -> Cell:
    found = json.loads(repr(remote.of_cell(source, error)))
    return msgspec.convert({**found, "source": source}, Cell)


def test_the_variables_that_a_cell_names_are_told_even_if_it_is_no_code(namespace: dict[str, Any]) -> None:
    cell = told("for row in frame[frame.limit > _\n  pd.x(frame")
    assert [variable.name for variable in cell.variables] == ["frame"]
    assert "10000001" in cell.variables[0].text
    assert "weight" in cell.variables[0].text
    assert cell.others == ["limit", "unused"]


def test_of_many_long_variables_each_gets_its_share(namespace: dict[str, Any]) -> None:
    namespace |= {f"text{number}": "word " * 5000 for number in range(30)}
    cell = told(" + ".join(namespace))
    assert len(cell.variables) == remote.MOST_NAMED
    assert sum(variable.tokens for variable in cell.variables) <= remote.CELL_TOKENS


@pytest.mark.parametrize(("code", "known"), [("[].add", ""), ("[].apend", "append"), ("''.toUpper", "upper")])
def test_attributes_like_the_one_that_was_not_found_are_named(
    code: str, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AttributeError) as caught:
        eval(code)
    monkeypatch.setattr(sys, "last_value", caught.value, raising=False)
    assert known in remote.hint(str(caught.value))
    assert bool(remote.hint(str(caught.value))) == bool(known)
    assert remote.hint("another error") == ""
