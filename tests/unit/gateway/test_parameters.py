from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.resources.chat.completions import Completions as Chat
from openai.resources.completions import Completions
from openai.resources.embeddings import Embeddings
from openai.resources.responses import Responses

from litellm_hub.gateway.bounds import RefusedError
from litellm_hub.gateway.parameters import ANY, CALLS, kinds_of

MESSAGE = {"role": "user", "content": "hi"}
RIGHT: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": [MESSAGE]},
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/embeddings": {"model": "m", "input": "hi"},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": {"model": "m", "max_tokens": 5, "messages": [MESSAGE]},
}
OF_THE_PACKAGE = {
    "/v1/chat/completions": Chat,
    "/v1/completions": Completions,
    "/v1/embeddings": Embeddings,
    "/v1/responses": Responses,
}
STEERING = [
    *("api_base", "base_url", "api_key", "api_version", "custom_llm_provider", "user_config", "fallbacks", "timeout"),
    *("mock_response", "mock_tool_calls", "num_retries", "model_info", "input_cost_per_token", "no-log", "cache"),
    *("context_window_fallback_dict", "priority", "ttl", "guardrails", "callbacks", "drop_params", "extra_body"),
    *("fastest_response", "litellm_call_id", "proxy_server_request", "secret_fields", "keep_alive", "id_slot"),
    *("num_ctx", "options", "headers", "extra_headers", "mcp_servers", "base_model", "use_in_pass_through", ""),
]
each_path = pytest.mark.parametrize("path", RIGHT)


def refused(path: str, **changes: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        CALLS[path].check(RIGHT[path] | changes)
    assert caught.value.status == 400
    return caught.value


@each_path
def test_a_right_body_passes(path: str):
    CALLS[path].check(RIGHT[path])
    CALLS[path].check(RIGHT[path] | {"metadata": {"tags": ["a"], "course": "7", "deep": {"a": 1}}})
    CALLS[path].check(RIGHT[path] | {"litellm_metadata": {"tags": ["a"], "session_id": "s"}, "tags": ["b"]})
    CALLS[path].check(RIGHT[path] | dict.fromkeys(CALLS[path].parameters) | RIGHT[path])  # null stands for each


@pytest.mark.parametrize("path", OF_THE_PACKAGE)
def test_every_parameter_of_the_openai_package_is_taken(path: str):
    names = set(inspect.signature(OF_THE_PACKAGE[path].create).parameters)
    names -= {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    assert names
    assert names <= CALLS[path].parameters.keys()


@each_path
@pytest.mark.parametrize("name", STEERING)
def test_what_steers_litellm_is_refused_by_name(path: str, name: str):
    error = refused(path, **{name: "x"})
    assert (error.param, error.code) == (name, "unknown_parameter")


@given(path=st.sampled_from(sorted(RIGHT)), name=st.text(min_size=1), value=st.none() | st.booleans() | st.text())
def test_any_unknown_name_is_refused(path: str, name: str, value: object):
    if name not in CALLS[path].parameters:
        assert refused(path, **{name: value}).param == name[:64]


@given(path=st.sampled_from(sorted(RIGHT)), data=st.data())
def test_a_value_of_a_wrong_type_is_refused_by_name(path: str, data: st.DataObject):
    values = {str: "x", int: 3, float: 0.5, bool: True, list: [MESSAGE], dict: {"a": 1}}
    name = data.draw(st.sampled_from(sorted(CALLS[path].parameters)))
    kinds = CALLS[path].parameters[name]
    if kinds != ANY:
        wrong = data.draw(st.sampled_from([value for kind, value in values.items() if kind not in kinds]))
        assert (refused(path, **{name: wrong}).param) == name


@each_path
@pytest.mark.parametrize(
    "key", ["user_api_key", "user_api_key_hash", "spend_logs_metadata", "model_info", "_x", "status"]
)
def test_what_litellm_reads_out_of_metadata_is_refused_by_name(path: str, key: str):
    for place in ("metadata", "litellm_metadata"):
        assert refused(path, **{place: {key: "x"}}).param == f"{place}.{key}"
    assert refused(path, litellm_metadata={"anything": 1}).param == "litellm_metadata.anything"


@each_path
@pytest.mark.parametrize("model", [None, "", " ", "a,b", ["a"], 5, "a,"])
def test_one_model_must_be_named(path: str, model: object):
    assert refused(path, model=model).param == "model"


@each_path
def test_what_is_asked_must_be_there(path: str):
    name = CALLS[path].required
    for missing in (None, "", []):
        assert refused(path, **{name: missing}).param == name
    body = {key: value for key, value in RIGHT[path].items() if key != name}
    with pytest.raises(RefusedError, match=name):
        CALLS[path].check(body)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    "messages",
    [
        *([None], ["hi"], [5], [[]], [{}], [{"content": "hi"}], [{"role": 5, "content": "hi"}]),
        *([{"role": "user", "content": None}], [{"role": "developer"}], [{"role": "user", "content": 5}]),
        *([{"role": "user", "content": ["hi"]}], [MESSAGE] * 2_001),
    ],
)
def test_messages_of_a_wrong_shape_are_refused(path: str, messages: object):
    assert refused(path, messages=messages).param == "messages"


def test_parts_of_a_message_must_have_a_type_that_the_call_knows():
    text, image = {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:"}}
    chat, result = "/v1/chat/completions", {"type": "tool_result", "tool_use_id": "1", "content": "a"}
    CALLS[chat].check(RIGHT[chat] | {"messages": [{"role": "user", "content": [text, image]}]})
    CALLS["/v1/messages"].check(RIGHT["/v1/messages"] | {"messages": [{"role": "user", "content": [text, result]}]})
    for part in ({}, {"type": 5}, {"type": None}, {"type": "unheard-of"}, result):
        assert refused(chat, messages=[{"role": "user", "content": [text, part]}]).param == "messages"
    assert refused("/v1/messages", messages=[{"role": "user", "content": [{}]}]).param == "messages"


def test_an_assistant_that_calls_tools_may_say_nothing():
    calling = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    CALLS["/v1/chat/completions"].check(RIGHT["/v1/chat/completions"] | {"messages": [MESSAGE, calling]})


@pytest.mark.parametrize("items", [[{"type": []}], [{"role": 5}], [MESSAGE, "hi"], [MESSAGE] * 2_001])
def test_items_of_a_conversation_of_a_wrong_shape_are_refused(items: object):
    CALLS["/v1/responses"].check({"model": "m", "input": [MESSAGE, {"type": "function_call_output"}]})
    assert refused("/v1/responses", input=items).param == "input"


@pytest.mark.parametrize("prompt", [["a"], [1, 2, 3], [[1, 2, 3]], "a"])
def test_one_prompt_may_be_a_text_or_tokens_in_a_list_or_not(prompt: object):
    CALLS["/v1/completions"].check({"model": "m", "prompt": prompt})


@pytest.mark.parametrize("prompt", [["a", "b"], [[1], [2]], [{}], [None], [True], [1.5], [1, "a"], [["a"]], [[]]])
def test_several_prompts_and_other_things_are_refused(prompt: object):
    assert refused("/v1/completions", prompt=prompt).param == "prompt"


@pytest.mark.parametrize("value", ["a", ["a"], ["a", "b"], [1, 2], [[1, 2], [3]]])
def test_embeddings_take_lists_of_texts_and_of_tokens(value: object):
    CALLS["/v1/embeddings"].check({"model": "m", "input": value})


@pytest.mark.parametrize("value", [["a", 1], [None], [""], [[]], [["a"]], [1, 2.5], [True], ["a"] * 2_049])
def test_embeddings_of_other_things_are_refused(value: object):
    assert refused("/v1/embeddings", input=value).param == "input"


def test_several_answers_are_refused():
    for name in ("n", "best_of"):
        CALLS["/v1/completions"].check(RIGHT["/v1/completions"] | {name: 1})
        for wrong in (0, 2, 50, -1):
            assert refused("/v1/completions", **{name: wrong}).param == name
    CALLS["/v1/responses"].check(RIGHT["/v1/responses"] | {"background": False})
    assert refused("/v1/responses", background=True).param == "background"


def test_the_number_of_tools_is_bounded():
    tool = {"type": "function", "function": {"name": "f"}}
    CALLS["/v1/chat/completions"].check(RIGHT["/v1/chat/completions"] | {"tools": [tool] * 128})
    assert refused("/v1/chat/completions", tools=[tool] * 129).param == "tools"
    assert refused("/v1/chat/completions", tools=["f"]).param == "tools"


def test_an_annotation_that_json_does_not_know_allows_anything():
    assert kinds_of(object) == ANY
    assert kinds_of(str | None) == {str}
