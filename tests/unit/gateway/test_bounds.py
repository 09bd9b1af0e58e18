from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.gateway import bounds
from litellm_hub.gateway.bounds import RefusedError
from tests.support.lab import ROOT

LONG = "x" * (bounds.ID.most + 1)
NESTED_IDS = sorted(f"{place}.{name}" for place in ("metadata", "litellm_metadata") for name in bounds.IDS)
CONTROLS = st.sampled_from([chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]])
WORDS = st.text(st.characters(min_codepoint=0xA0, exclude_categories=["Cs"]) | st.sampled_from("abc XYZ-._:/"))


def check(body: dict[str, Any], header_tags: int = 0) -> None:
    sent = json.dumps(body).encode()
    bounds.check_body(bounds.parsed(sent), len(sent), header_tags)


def refusal(action: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        action()
    assert caught.value.param is None or caught.value.param in caught.value.message.lower()
    return caught.value


def put(field: str, value: object) -> dict[str, Any]:
    place, _, name = field.rpartition(".")
    return {place: {name: value}} if place else {name: value}


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels - 1):
        value = [value]
    return {"x": value}


@pytest.mark.parametrize("field", [*sorted(bounds.IDS), *NESTED_IDS])
def test_an_id_over_its_length_is_named_wherever_it_stands(field: str):
    check(put(field, LONG[:-1]))
    error = refusal(lambda: check(put(field, LONG)))
    assert (error.status, error.param, error.code) == (400, field, "over_limit")
    assert "at most 256 characters" in error.message


@given(st.sampled_from([*sorted(bounds.IDS), *NESTED_IDS]), WORDS, CONTROLS, WORDS)
def test_an_id_with_a_control_character_is_named(field: str, before: str, control: str, after: str):
    assert refusal(lambda: check(put(field, before[:9] + control + after[:9]))).param == field


@pytest.mark.parametrize("field", ["user", "metadata.user_id", "conversation"])
def test_an_id_inside_an_object_is_bounded(field: str):
    check(put(field, {"session_id": "a" * 256}))
    assert refusal(lambda: check(put(field, {"session_id": LONG}))).param == field


@pytest.mark.parametrize("value", [5, [], {}, True])
def test_litellms_ids_must_be_strings(value: object):
    check({"litellm_session_id": None})
    assert refusal(lambda: check({"litellm_session_id": value})).code == "invalid_type"


@pytest.mark.parametrize("field", ["tags", "metadata.tags", "litellm_metadata.tags"])
def test_number_and_length_of_tags_are_bounded(field: str):
    check(put(field, ["t" * 128] * 32))
    assert "32 items" in refusal(lambda: check(put(field, ["t"] * 33))).message
    assert "128 characters" in refusal(lambda: check(put(field, ["t" * 129]))).message
    for wrong in ("t", 5, {"a": 1}, [5], [None], [["t"]], ["a\0b"]):
        assert refusal(lambda wrong=wrong: check(put(field, wrong))).param == field


def test_tags_are_counted_over_all_places():
    tags = ["t"] * 11
    body = {"tags": tags, "metadata": {"tags": tags}, "litellm_metadata": {"tags": tags[:5]}}
    check(body, header_tags=5)
    assert refusal(lambda: check(body, header_tags=6)).param == "tags"


def test_metadata_is_bounded_as_an_object_and_as_json_inside_a_string():
    for written in (lambda value: value, json.dumps):
        check({"metadata": written({"a": "x" * 16_000})})
        check({"metadata": written({"a": {"b": {"c": {"d": {"e": {"f": {"g": {}}}}}}}})})
        for wrong in (
            {"a": "x" * 17_000},
            {"a": nested(8)},
            {"k" * 129: 1},
            {"a": "\0"},
            {"a\0": 1},
            {"tags": ["t"] * 33},
        ):
            error = refusal(lambda wrong=wrong, written=written: check({"metadata": written(wrong)}))
            assert str(error.param).startswith("metadata")


def test_nesting_is_bounded():
    check(nested(64))
    for levels in (65, 900, 1023, 5000):
        deep = b'{"x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
        error = refusal(lambda deep=deep: bounds.check_body(bounds.parsed(deep), len(deep)))
        assert (error.param, "64 levels" in error.message) == ("body", True)


@pytest.mark.parametrize("piece", ["[]", "{}", "0", '""', "1e5"])
def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(piece: str):
    body = ('{"x":[' + ",".join([piece] * 300_000) + "]}").encode()
    assert "items" in refusal(lambda: bounds.parsed(body)).message


@pytest.mark.parametrize("ending", [b"", b"\\", b'"', b"x"])
@pytest.mark.parametrize("piece", [b'\\"', b'"', b'"\\', b"\\", b"x"])
def test_looking_for_texts_takes_linear_time(piece: bytes, ending: bytes):
    body = b"[" * 50_001 + b'"' + piece * 500_000 + ending  # quadratic time would be hours
    assert refusal(lambda: bounds.parsed(body)).param == "body"


def test_brackets_and_commas_in_a_text_are_no_values():
    text = '[{,"\\' * 300_000
    body = json.dumps({"x": text}).encode()
    assert bounds.parsed(body) == {"x": text}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{", "not valid JSON"),
        (b"[1,2]", "not a list"),
        (b'"text"', "not a string"),
        (b"5", "not a number"),
        (b"true", "not a boolean"),
        (b"null", "not null"),
        (b'{"a":"\xff"}', "not valid UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":Infinity}', "not valid JSON"),
        (b'{"a":1e999}', "infinity"),
        (b'{"a":' + b"9" * 1000 + b"}", "infinity"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_in_words(body: bytes, words: str):
    error = refusal(lambda: bounds.parsed(body))
    assert (error.status, error.param) == (400, "body")
    assert words in error.message


@pytest.mark.parametrize(
    "name",
    [
        *("x-litellm-call-id", "x-litellm-session-id", "x-litellm-trace-id", "x-litellm-end-user-id", "traceparent"),
        *("x-litellm-customer-id", "x-session-id", "x-claude-code-session-id", "session-id", "thread-id"),
    ],
)
def test_ids_in_headers_are_bounded(name: str):
    bounds.check_headers([(name.encode(), b"a" * 256)])
    for wrong in (b"a" * 257, b"a\x01", b"a\x7f"):
        assert refusal(lambda wrong=wrong: bounds.check_headers([(name.encode(), wrong)])).param == name


def test_other_headers_are_bounded_together():
    bounds.check_headers([(b"authorization", b"x" * 8_000), (b"cookie", b"x" * 8_000)])
    error = refusal(lambda: bounds.check_headers([(b"authorization", b"x" * 8_000), (b"cookie", b"x" * 9_000)]))
    assert error.status == 431
    assert refusal(lambda: bounds.check_headers([(b"user-agent", b"x" * 513)])).param == "user-agent"
    bounds.check_headers([(b"baggage", b"user.id=" + b"x" * 300 + b",session.id=ok")])
    assert refusal(lambda: bounds.check_headers([(b"baggage", b"a=b, session.id=" + b"x" * 257)])).param == "baggage"


def test_tags_in_headers_are_bounded_and_counted():
    assert bounds.check_headers([(b"x-litellm-tags", b"a,b"), (b"x-litellm-tags", b"c")]) == 3
    for wrong in (b"a" * 129, b",".join([b"a"] * 33)):
        error = refusal(lambda wrong=wrong: bounds.check_headers([(b"x-litellm-tags", wrong)]))
        assert error.param == "x-litellm-tags"


def test_query_strings_are_bounded():
    bounds.check_query(b"model=smollm2")
    assert refusal(lambda: bounds.check_query(b"a=" + b"x" * 9_000)).status == 414
    assert refusal(lambda: bounds.check_query(b"user_id=%00")).param == "query"


def test_the_hubs_page_shows_the_table_of_bounds():
    rows = [f"| {bound.what} | {bound.most:,} {bound.unit} |" for bound in bounds.TABLE]
    assert "\n".join(rows) in (ROOT / "litellm_hub/README.md").read_text()
