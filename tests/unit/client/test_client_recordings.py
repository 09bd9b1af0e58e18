"""The client against what LiteLLM really answered, faults included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from litellm_hub.client import HubClient, Message, Usage, errors

PROMPT: list[Message] = [{"role": "user", "content": "Say hi."}]
Replay = Callable[[str], HubClient]


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("ollama/smollm2_stream_usage", Usage(12, 12, 3.6e-6)),
        ("ollama/smollm2-gen_stream_usage", Usage(17, 12, None)),
        ("llama_cpp/stream_usage", Usage(33, 12, 5.7e-6)),
        ("ollama/smollm2_stream", None),
    ],
)
def test_a_whole_answer_has_text_reason_and_figures(replay: Replay, name: str, usage: Usage | None) -> None:
    stream = replay(name).stream_chat("smollm2", PROMPT)
    text = "".join(delta.text for delta in stream)
    assert text
    assert text == stream.text
    assert stream.finish_reason in {"length", "stop"}
    assert stream.usage == usage
    assert stream.time_to_first_token is not None
    assert stream.duration is not None
    assert 0 <= stream.time_to_first_token <= stream.duration
    assert not stream.closed


@pytest.mark.parametrize(
    "name",
    [
        "llama_cpp/killed_midstream",
        "ollama/smollm2_runner_killed_midstream",
        "ollama/smollm2_runtime_terminated_midstream",
        "ollama/smollm2-v1_runtime_terminated_midstream",
        "llama_cpp/client_leaves",  # ends in the middle, without any mark
        "ollama/smollm2_client_leaves",
    ],
)
def test_an_answer_cut_in_the_middle_is_an_error_that_keeps_the_text(replay: Replay, name: str) -> None:
    pieces: list[str] = []
    stream = replay(name).stream_chat("smollm2", PROMPT)
    with pytest.raises(errors.AnswerCut) as caught:
        pieces.extend(delta.text for delta in stream)
    seen = "".join(pieces)
    assert seen
    assert caught.value.partial == seen
    assert stream.finish_reason is None


@pytest.mark.parametrize(
    ("name", "expected", "retry"),
    [
        ("llama_cpp/down", errors.RuntimeUnavailable, True),
        ("ollama/down_stream", errors.RuntimeUnavailable, True),
        ("ollama/smollm2_runtime_down", errors.RuntimeUnavailable, True),
        ("ollama/missing_plain", errors.RuntimeUnavailable, False),
        ("ollama/missing_stream", errors.RuntimeUnavailable, True),
        ("ollama/unknown_alias", errors.UnknownModel, False),
        ("llama_cpp/long_prompt", errors.PromptTooLong, False),
        ("ollama/long_prompt_stream_with_pre_call_checks", errors.PromptTooLong, False),
        ("ollama/smollm2_tools", errors.ToolsUnsupported, False),
        ("llama_cpp/loading", errors.ModelLoading, True),
        ("gateway/wrong_key", errors.WrongKey, False),
        ("gateway/expired_key", errors.WrongKey, False),
        ("gateway/blocked_key", errors.WrongKey, False),
        ("gateway/over_budget", errors.OverBudget, False),
        ("gateway/rate_limit_requests", errors.RateLimited, True),
        ("gateway/rate_limit_tokens", errors.RateLimited, True),
        ("gateway/parallel_limit", errors.RateLimited, True),
        ("gateway/model_denied", errors.UnknownModel, False),
        ("gateway/unknown_model", errors.UnknownModel, False),
        ("gateway/long_prompt", errors.PromptTooLong, False),
        ("gateway/bad_temperature", errors.HubError, False),
    ],
)
def test_a_refusal_becomes_the_exception_that_names_it(
    replay: Replay, name: str, expected: type[errors.HubError], retry: bool
) -> None:
    with pytest.raises(errors.HubError) as caught:
        list(replay(name).stream_chat("smollm2", PROMPT))
    assert type(caught.value) is expected
    assert caught.value.reason in str(caught.value)
    assert caught.value.remedy in str(caught.value)
    assert caught.value.remedy
    assert caught.value.retry is retry


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ollama/smollm2_tools", "“smollm2” cannot call tools. Choose a model that can"),
        ("gateway/rate_limit_requests", "limit of 1 requests a minute is reached. Send again after 01:39:21 UTC"),
        ("gateway/rate_limit_tokens", "limit of 20 tokens a minute"),
        ("gateway/parallel_limit", "limit of 0 requests at the same time"),
        ("gateway/expired_key", "has expired"),
        ("gateway/blocked_key", "is blocked"),
        ("gateway/model_denied", "may not use the model “smollm2”"),
        ("gateway/unknown_model", "no model “smollm2”"),
        ("gateway/bad_temperature", "type must be number, but is string"),
    ],
)
def test_the_words_say_what_to_do(replay: Replay, name: str, words: str) -> None:
    with pytest.raises(errors.HubError) as caught:
        list(replay(name).stream_chat("smollm2", PROMPT))
    assert words in str(caught.value)


def test_the_hubs_wait_after_a_limit_is_passed_on(replay: Replay) -> None:
    with pytest.raises(errors.RateLimited) as caught:
        list(replay("gateway/rate_limit_requests").stream_chat("smollm2", PROMPT))
    assert caught.value.retry_after == 60


@pytest.mark.parametrize(
    ("name", "limit"), [("llama_cpp/long_prompt", 2048), ("ollama/long_prompt_stream_with_pre_call_checks", 4096)]
)
def test_a_prompt_that_is_too_long_is_refused_with_both_sizes(replay: Replay, name: str, limit: int) -> None:
    with pytest.raises(errors.PromptTooLong, match="6,033 tokens") as caught:
        list(replay(name).stream_chat("smollm2", PROMPT))
    assert (caught.value.tokens, caught.value.limit) == (6033, limit)
