from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.gateway.columns import METADATA_BYTES, NAME_CHARACTERS, current, fitting, storable

TEXT = st.text(st.characters(codec=None), max_size=20)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUE)
def test_whatever_comes_is_json_that_postgres_stores(value: Any) -> None:
    text = json.dumps(storable(value), allow_nan=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    json.dumps(storable(value), ensure_ascii=False).encode()


@pytest.mark.parametrize("value", ["ü ✓ 😀", "\\u0000", 1, -0.5, None, True, ["a", {"b": 2}]])
def test_what_postgres_stores_is_left_as_it_is(value: object) -> None:
    assert storable(value) == value


def test_values_that_are_no_json_become_their_words() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)
    assert storable({"at": moment, 1: {"x"}, "nan": math.nan}) == {"at": moment.isoformat(), "1": ["x"], "nan": None}


@given(TEXT.map(lambda text: text * 50))
def test_ids_and_names_are_cut_to_what_every_index_takes(text: str) -> None:
    cut = fitting("session_id", text)
    assert len(cut) <= NAME_CHARACTERS
    assert len(cut.encode()) < 2704


def test_numbers_stay_in_their_columns_range() -> None:
    assert fitting("prompt_tokens", 10**30) == 2**31 - 1
    assert fitting("prompt_tokens", -(10**30)) == -(2**31) + 1
    assert fitting("spend", 1e-7) == 1e-7


def test_a_json_text_becomes_what_it_says() -> None:
    assert fitting("metadata", '{"a": "x\\u0000y"}') == {"a": "xy"}
    assert fitting("messages", "no json") == "no json"
    assert fitting("request_tags", '["a", "a", "b"]') == ["a", "b"]
    assert fitting("request_tags", '{"no": "list"}') == []


def test_metadata_without_measure_gives_way_to_a_word_about_it() -> None:
    assert "left_out" in fitting("metadata", {"a": "x" * METADATA_BYTES})


def test_an_entry_of_an_earlier_version_is_understood() -> None:
    payload = {"request_id": "a", "spend": 0.5, "metadata": '{"a": 1}', "request_tags": '["t"]'}
    old = {"id": "1", "row": True, "payload": payload, "spend": {"project_id": None, "response_cost": 0.5}}
    row = {"request_id": "a", "spend": 0.5, "metadata": {"a": 1}, "request_tags": ["t"]}
    assert current(old) == {"id": "1", "row": row, "endpoint": "", "project": None, "windows": []}
    assert current(current(old)) == current(old)
