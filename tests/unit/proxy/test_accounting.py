from __future__ import annotations

import json

import pytest

from litellm_hub.proxy.accounting import free_request_id, storable


def test_a_call_id_that_a_client_reuses_gets_a_suffix() -> None:
    assert free_request_id("a", set()) == "a"
    assert free_request_id("a", {"a"}) == "a~2"
    assert free_request_id("a", {"a", "a~2"}) == "a~3"


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "ü ✓ 😀", "\\\\u0000"])
def test_what_postgres_cannot_store_is_taken_out_and_nothing_else(text: str) -> None:
    clean = storable({"k": [text]})["k"][0]
    clean.encode()
    assert "\x00" not in clean
    if text in {"ü ✓ 😀", "\\\\u0000"}:
        assert clean == text


def test_json_inside_a_text_column_stays_json() -> None:
    inner = json.dumps({"a": "x\x00y", "b": "c:\\u0000"})
    assert json.loads(storable(inner)) == {"a": "xy", "b": "c:\\u0000"}
