from __future__ import annotations

import pytest
from litellm.exceptions import APIConnectionError, BadRequestError, ContextWindowExceededError

from litellm_hub.gateway.failures import RuntimeFailedError, runtime_failure

CRASH = "an error was encountered while running the model: request (5123 tokens) exceeds the available context size"


def told(error: Exception) -> RuntimeFailedError:
    failure = runtime_failure(error)
    assert failure is not None
    assert failure.model == "m"
    return failure


@pytest.mark.parametrize("kind", [BadRequestError, ContextWindowExceededError, APIConnectionError])
def test_a_crash_is_the_runtimes_fault_and_says_nothing_of_a_context(kind: type[Exception]) -> None:
    failure = told(kind(f"Ollama_chatException - {CRASH}", model="m", llm_provider="ollama_chat"))  # type: ignore[call-arg]
    assert failure.status_code == 502
    assert "context" not in failure.message


def test_ollamas_error_line_is_told_in_its_own_words() -> None:
    line = "KeyError: 'message', Got unexpected response from Ollama: {'error': 'out of memory'}"
    failure = told(BadRequestError(line, model="m", llm_provider="ollama_chat"))
    assert failure.status_code == 502
    assert failure.message.endswith("It says: out of memory")


def test_silence_is_a_gateway_timeout_whatever_litellm_makes_of_it() -> None:
    words = "The model's runtime was silent for 61 s and is not working on the call."
    failure = told(APIConnectionError(f"OpenAIException - {words} Deployment Info", model="m", llm_provider="openai"))
    assert failure.status_code == 504
    assert failure.message.endswith(words)


def test_nothing_else_in_a_stream_is_the_callers_fault() -> None:
    assert told(BadRequestError("what now", model="m", llm_provider="openai")).status_code == 502


def test_an_error_with_a_status_of_its_own_is_left_alone() -> None:
    assert runtime_failure(APIConnectionError("gone", model="m", llm_provider="openai")) is None
    assert runtime_failure(told(BadRequestError("x", model="m", llm_provider="openai"))) is None
