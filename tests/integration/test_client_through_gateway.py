"""The client through the real gateway, with a model that does what the prompt tells it."""

from __future__ import annotations

import threading
import time

import pytest

from litellm_hub.client import ChatStream, HubClient, HubState, Message, errors
from tests.doubles import counted_model
from tests.support.gateway import Gateway
from tests.support.lab import Lab, wait_until
from tests.unit.client.scripted_hub import ScriptedHub
from widgets.tools.tool import Tool

pytestmark = pytest.mark.lab
MODEL = "scripted"


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def client(scripted_gateway: tuple[Gateway, ScriptedHub]) -> HubClient:
    gateway, _ = scripted_gateway
    return HubClient(gateway.url, gateway.key, timeout=30)


def ask(client: HubClient, order: str) -> ChatStream:
    return client.stream_chat(MODEL, [{"role": "user", "content": order}])


def test_a_tool_is_called_and_its_result_answered(client: HubClient) -> None:
    tool = Tool.of(add)
    messages: list[Message] = [{"role": "user", "content": 'call add {"a": 2, "b": 40}\ncall add {"a": "x"}'}]
    stream = client.stream_chat(MODEL, messages, tools=[tool.schema])
    assert "".join(delta.text for delta in stream) == "Let me look. "
    assert stream.finish_reason == "tool_calls"
    assert [(call.name, call.arguments) for call in stream.tool_calls] == [
        ("add", '{"a": 2, "b": 40}'),
        ("add", '{"a": "x"}'),
    ]
    calls = [call.as_dict() for call in stream.tool_calls]
    messages.append({"role": "assistant", "content": stream.text, "tool_calls": calls})
    for call in stream.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": tool.call(call.arguments)})
    answer = client.stream_chat(MODEL, messages, tools=[tool.schema])
    said = "".join(delta.text for delta in answer)
    assert "add answered: 42\n" in said
    assert "a: Input should be a valid integer" in said
    assert answer.usage is not None
    assert answer.usage.cost is not None
    assert answer.usage.cost > 0


@pytest.mark.parametrize(
    ("order", "expected", "partial", "retry"),
    [
        ("die", errors.AnswerCut, "Once upon a ", True),
        ("fail", errors.AnswerCut, "Once upon a ", True),
        ("malformed", errors.AnswerCut, "Once upon a ", True),
        ("loading", errors.ModelLoading, None, True),
        ("no tools", errors.ToolsUnsupported, None, False),
    ],
)
def test_what_a_runtime_does_wrong_is_named(
    client: HubClient, order: str, expected: type[errors.HubError], partial: str | None, retry: bool
) -> None:
    with pytest.raises(errors.HubError) as caught:
        list(ask(client, order))
    assert type(caught.value) is expected
    assert getattr(caught.value, "partial", None) == partial
    assert caught.value.retry is retry


def test_a_model_of_the_lab_that_calls_no_tools_says_so_and_names_one_that_does(client: HubClient, lab: Lab) -> None:
    with pytest.raises(errors.ToolsUnsupported, match="'smollm2' cannot call tools"):
        list(client.stream_chat("smollm2", [{"role": "user", "content": "Add."}], tools=[Tool.of(add).schema]))


def test_a_prompt_longer_than_the_context_is_refused_with_both_sizes(client: HubClient) -> None:
    with pytest.raises(errors.PromptTooLong) as caught:
        list(ask(client, "word " * 5000))
    assert caught.value.limit == 4096
    assert not caught.value.retry


def test_stop_reaches_the_runtime_within_half_a_second(
    client: HubClient, scripted_gateway: tuple[Gateway, ScriptedHub]
) -> None:
    _, model = scripted_gateway
    model.left.clear()
    stream = ask(client, "slow 500 0.02")
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    wait_until(lambda: "word3" in stream.text, 20, "the answer has begun")
    began = time.monotonic()
    stream.close()
    assert model.left.wait(5), "the runtime still writes the answer"
    assert time.monotonic() - began < 0.5
    reader.join(5)
    assert stream.closed


def test_the_hub_tells_context_prices_and_budget_to_a_notebooks_key(client: HubClient, lab: Lab) -> None:
    info = client.model_info()
    assert set(info) == {MODEL, counted_model.NAME, *lab.models}
    assert (info[MODEL].context, info[MODEL].input_cost, info[MODEL].output_cost) == (4096, 1e-7, 2e-7)
    status = client.status()
    assert status.state is HubState.OK
    assert status.spend is not None
    assert status.max_budget is not None
    assert status.budget_reset_at is not None
    assert status.budget_reset_at.tzinfo is not None


def test_the_labs_models_are_told_with_size_purpose_and_state(lab: Lab) -> None:
    """Also in an answer so long that LiteLLM would pack it."""
    told = HubClient(f"{lab.hub_url}/v1", lab.notebook_key).model_info()["smollm2"]
    assert (told.size, told.about, told.tools) == ("135M", "tiny, for tests", False)
    assert told.memory is not None
