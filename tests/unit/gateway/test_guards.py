from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from litellm_hub.gateway import guards
from litellm_hub.gateway.guards import ContextLengthError, MediaUnsupportedError, ToolsUnsupportedError

SECRET = "the-secret-word "


async def refused(data: dict[str, Any], context: int) -> str:
    with pytest.raises(ContextLengthError) as caught:
        await guards.check_prompt({"model": "m", **data}, context)
    return str(caught.value)


def chat(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.mark.anyio
async def test_a_prompt_over_the_context_is_refused_with_the_sizes_and_without_its_text() -> None:
    message = await refused(chat(SECRET * 300), 500)
    assert "'m'" in message
    assert "500 tokens per request" in message
    counted = int(message.split(" tokens by the gateway's count")[0].rsplit(" ", 1)[1])
    assert counted > 500
    assert SECRET.strip() not in message


@pytest.mark.anyio
async def test_a_short_prompt_is_not_counted() -> None:
    assert await guards.check_prompt(chat("Say hi."), 500) is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "data",
    [
        {"prompt": SECRET * 300},
        {"prompt": list(range(600))},
        {"input": SECRET * 300},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": SECRET * 300}]}]},
        {"messages": [], "system": SECRET * 300},
        {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "description": SECRET * 300}}]},
        {"messages": [{"role": "user", "content": ""}] * 200},
    ],
)
async def test_every_form_of_prompt_is_counted(data: dict[str, Any]) -> None:
    await refused(data, 500)


@pytest.mark.anyio
async def test_pictures_are_not_counted_as_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    assert await guards.check_prompt({"messages": [{"role": "user", "content": [picture]}]}, 500) is None


def test_the_widest_context_decides_and_a_missing_limit_is_no_limit() -> None:
    narrow = {"model_info": {"max_input_tokens": 1000}}
    wide = {"model_info": {"max_input_tokens": 1200}}
    assert guards.widest_context([narrow, wide]) == 1200
    assert guards.widest_context([narrow, {"model_info": {}}]) is None
    assert guards.widest_context([]) is None


def model(name: str = "m", **abilities: bool) -> dict[str, Any]:
    return {"model_name": name, "model_info": abilities}


TEXT_ONLY = model(supports_function_calling=False, supports_vision=False)
CATALOGUE = [TEXT_ONLY, model("able", supports_function_calling=True), model("unknown")]
FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    "asked",
    [
        {"tools": [FUNCTION]},
        {"tools": [FUNCTION], "tool_choice": "auto"},
        {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}},
        {"functions": [{"name": "f"}]},
        {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
        {"tool_choice": "required"},
    ],
)
def test_tools_for_a_model_that_calls_none_are_refused_and_the_ones_that_can_are_named(asked: dict[str, Any]) -> None:
    with pytest.raises(ToolsUnsupportedError, match=r"'m' cannot call tools.*: able") as caught:
        guards.check_abilities({"model": "m", **asked}, [TEXT_ONLY], lambda: CATALOGUE)
    assert caught.value.code == "tools_unsupported"


def test_where_no_model_takes_tools_none_is_named() -> None:
    with pytest.raises(ToolsUnsupportedError, match="No model of this lab can"):
        guards.check_abilities({"model": "m", "tools": [FUNCTION]}, [TEXT_ONLY], lambda: [TEXT_ONLY])


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tools": [], "functions": None},
        {"tool_choice": "none"},
        {"tools": [FUNCTION], "tool_choice": "none"},
        {"tools": [FUNCTION], "tool_choice": {"type": "none"}},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": "4"}]},
    ],
)
def test_a_request_that_asks_for_no_tool_passes(asked: dict[str, Any]) -> None:
    guards.check_abilities({"model": "m", **asked}, [TEXT_ONLY], lambda: CATALOGUE)


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, PICTURE]}]}, "image_url"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "file"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "image"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [PICTURE]}]}]}, "image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input_image"),
        ({"input": [{"type": "input_file", "file_id": "f"}]}, "input_file"),
    ],
)
def test_pictures_sounds_and_files_for_a_text_model_are_refused(asked: dict[str, Any], kind: str) -> None:
    with pytest.raises(MediaUnsupportedError, match=f"'m' reads text alone.*'{kind}'") as caught:
        guards.check_abilities({"model": "m", **asked}, [TEXT_ONLY], lambda: CATALOGUE)
    assert caught.value.code == "media_unsupported"


def test_what_the_catalogue_does_not_say_or_allows_passes() -> None:
    asked = {"model": "m", "tools": [FUNCTION], "messages": [{"role": "user", "content": [PICTURE]}]}
    able = model(supports_function_calling=True, supports_vision=True)
    for deployments in ([], [model()], [able], [TEXT_ONLY, able]):
        guards.check_abilities(asked, deployments, lambda: CATALOGUE)


@pytest.mark.parametrize(
    ("chunk", "final"),
    [
        ({"choices": [{"finish_reason": None, "delta": {"content": "a"}}]}, False),
        ({"choices": [{"finish_reason": "stop", "delta": {}}]}, True),
        (SimpleNamespace(choices=[SimpleNamespace(finish_reason="length")]), True),
        (SimpleNamespace(choices=[]), False),
        ({"type": "response.output_text.delta"}, False),
        (SimpleNamespace(type="response.completed"), True),
        (b'event: content_block_delta\ndata: {"type": "content_block_delta"}\n\n', False),
        (b'event: message_delta\ndata: {"type": "message_delta"}\n\n', True),
        ("data: [DONE]\n\n", True),
    ],
)
def test_the_end_of_a_stream_is_recognised_in_every_api(chunk: object, final: bool) -> None:
    assert guards.is_final(chunk) is final


@pytest.mark.parametrize(
    ("original", "cut"),
    [
        ({"choices": [{"finish_reason": "stop"}]}, False),
        ({"choices": [{"finish_reason": None}]}, True),
        ({"choices": [{"finish_reason": "stop"}, {}]}, True),
        (json.dumps({"message": {}, "done": True}), False),
        (json.dumps({"message": {}, "done": False}), True),
        ("not json", False),
        (None, False),
    ],
)
def test_a_plain_answer_without_an_end_is_recognised(original: object, cut: bool) -> None:
    assert guards.lacks_ending(original) is cut


def test_a_cut_prompt_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        guards.warn_if_prompt_was_cut("m", 6000, 2050)
    assert "2050 prompt tokens of about 6000" in caplog.text
    caplog.clear()
    guards.warn_if_prompt_was_cut("m", 6000, 5000)
    guards.warn_if_prompt_was_cut("m", None, 10)
    assert not caplog.text
