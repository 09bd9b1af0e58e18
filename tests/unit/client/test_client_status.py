"""How the client sees the hub without waking a model."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from litellm_hub.client import HubClient, HubState, Memory, ModelInfo, errors
from tests.unit.client.scripted_hub import ScriptedHub

MODELS = {"data": [{"id": "smollm2"}, {"id": "phi"}]}


def hub_that_says(
    models: tuple[int, Any], info: tuple[int, Any] = (404, {}), asked: list[str] | None = None
) -> HubClient:
    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request.url.path)
        status, body = {"/v1/models": models, "/key/info": info}.get(request.url.path, (200, "I'm alive!"))
        return httpx.Response(status, json=body)

    return HubClient("http://hub.test/v1", "sk-x1234", transport=httpx.MockTransport(answer))


def refusal(kind: str, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": "1"}}


def test_a_hub_that_is_well_names_models_and_spend() -> None:
    asked: list[str] = []
    info = {"info": {"spend": 0.25, "max_budget": 5.0}}
    status = hub_that_says((200, MODELS), (200, info), asked).status()
    assert status.state is HubState.OK
    assert status.models == ("smollm2", "phi")
    assert (status.spend, status.max_budget) == (0.25, 5.0)
    assert status.remedy == ""
    assert asked == ["/health/liveliness", "/key/info", "/v1/models"], "no model is woken"


@pytest.mark.parametrize(
    ("models", "state"),
    [
        ((401, refusal("token_not_found_in_db")), HubState.WRONG_KEY),
        ((401, refusal("expired_key")), HubState.WRONG_KEY),
        ((422, refusal("budget_exceeded")), HubState.OVER_BUDGET),
        ((200, {"data": []}), HubState.NO_MODELS),
        ((200, {"data": 5}), HubState.TROUBLE),
        ((500, refusal("internal_server_error")), HubState.TROUBLE),
        ((503, refusal("no_db_connection")), HubState.UNREACHABLE),
    ],
)
def test_every_trouble_has_a_reason_and_a_remedy(models: tuple[int, Any], state: HubState) -> None:
    status = hub_that_says(models).status()
    assert status.state is state
    assert status.reason
    assert status.remedy


def test_the_master_key_has_no_spend_and_that_is_fine() -> None:
    status = hub_that_says((200, MODELS), (404, refusal("not_found_error"))).status()
    assert (status.state, status.spend) == (HubState.OK, None)


@pytest.mark.parametrize(
    ("url", "key"), [("", "sk-x1234"), ("http://hub.test/v1", ""), ("hub", "sk-x1234"), ("http://[::", "k")]
)
def test_what_is_not_configured_is_said_so(url: str, key: str) -> None:
    client = HubClient(url, key)
    assert client.status().state is HubState.NOT_CONFIGURED
    with pytest.raises(errors.NotConfigured, match="LITELLM_"):
        client.models()
    with pytest.raises(errors.NotConfigured, match="LITELLM_"):
        client.stream_chat("m", [])


def test_a_key_that_cannot_be_sent_is_a_wrong_key() -> None:
    assert HubClient("http://hub.test/v1", "sk-“quoted”").status().state is HubState.WRONG_KEY


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, hub: ScriptedHub) -> None:
    monkeypatch.setenv("LITELLM_BASE_URL", hub.url + "/")
    monkeypatch.setenv("LITELLM_API_KEY", " sk-x1234\n")
    assert HubClient().base_url == hub.url
    assert HubClient().models() == ["scripted"]


def test_a_proxy_for_the_outside_world_does_not_stand_before_a_local_hub(
    monkeypatch: pytest.MonkeyPatch, client: HubClient
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert client.models() == ["scripted"]


def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_hub_that_is_down_is_unreachable() -> None:
    client = HubClient(f"http://127.0.0.1:{unused_port()}/v1", "sk-x1234")
    assert client.status().state is HubState.UNREACHABLE
    with pytest.raises(errors.HubUnreachable, match="make up"):
        client.models()


def test_another_program_at_the_address_is_no_hub() -> None:
    other = httpx.MockTransport(lambda request: httpx.Response(404, text="nginx"))
    client = HubClient("http://hub.test/v1", "sk-x1234", transport=other)
    assert client.status().state is HubState.UNREACHABLE
    with pytest.raises(errors.HubUnreachable, match="not as the hub"):
        client.models()


def test_a_hub_that_hangs_is_given_up_in_three_seconds(hub: ScriptedHub, client: HubClient) -> None:
    hub.alive_after = 30
    before = time.monotonic()
    assert client.status().state is HubState.UNREACHABLE
    assert time.monotonic() - before < 3.5


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (422, "budget_exceeded", "Budget has been exceeded! Key=x", errors.OverBudget),
        (429, "budget_exceeded", "Budget has been exceeded!", errors.OverBudget),
        (400, "auth_error", "ExceededBudget: Budget has been exceeded! Current cost: 1", errors.OverBudget),
        (429, "throttling_error", "Rate limit exceeded for api_key: x", errors.RateLimited),
        (429, "all_deployments_in_cooldown", "No deployments available", errors.RuntimeUnavailable),
        (401, "auth_error", "Authentication Error, Key is blocked.", errors.WrongKey),
        (403, "key_model_access_denied", "not available for this API key", errors.UnknownModel),
        (403, "auth_error", "not allowed to call this route", errors.WrongKey),
        (400, "invalid_request_error", "context_length_exceeded", errors.PromptTooLong),
        (408, "timeout", "litellm.Timeout: Connection timed out", errors.RuntimeUnavailable),
        (504, "timeout", "litellm.Timeout: The model's runtime was silent for too long.", errors.RuntimeUnavailable),
        (503, "internal_server_error", "litellm.X: The model's runtime does not answer.", errors.RuntimeUnavailable),
        (500, "internal_server_error", "litellm.InternalServerError: exploded", errors.RuntimeUnavailable),
        (418, "odd", "a teapot", errors.HubError),
    ],
)
def test_refusals_are_told_apart(status: int, kind: str, message: str, expected: type[errors.HubError]) -> None:
    error = errors.error_from_answer(status, refusal(kind, message), model="m")
    assert type(error) is expected
    assert error.detail == message


def test_the_wait_that_the_hub_asks_for_is_passed_on() -> None:
    error = errors.error_from_answer(429, refusal("throttling_error"), headers={"retry-after": "5"})
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 5


def test_the_gateways_own_count_is_understood() -> None:
    counted = "3000 tokens by the gateway's count; the model's context is 2048 tokens per request."
    message = f"The prompt is too long for the model 'm': {counted} Shorten the prompt."
    error = errors.error_from_answer(400, refusal("invalid_request_error", message))
    assert isinstance(error, errors.PromptTooLong)
    assert (error.tokens, error.limit) == (3000, 2048)
    assert error.reason == "The conversation has 3,000 tokens, the model takes 2,048."


CRASH = "an error was encountered while running the model: "


@pytest.mark.parametrize(
    "last_log_line", ["unexpected EOF", "request (5123 tokens) exceeds the available context size"]
)
@pytest.mark.parametrize(
    ("status", "kind"), [(500, "internal_server_error"), (400, "invalid_request_error"), (None, "")]
)
def test_a_crashed_runtime_is_never_a_prompt_too_long(status: int | None, kind: str, last_log_line: str) -> None:
    message = f"litellm.ContextWindowExceededError: Ollama_chatException - {CRASH}{last_log_line} (4096 tokens)"
    error = errors.error_from_answer(status, refusal(kind, message), model="m")
    assert isinstance(error, errors.RuntimeUnavailable)
    assert error.retry


def test_a_refusal_of_tools_names_the_models_that_can() -> None:
    words = "The model 'm' cannot call tools. Models that can: able."
    body = {"error": {"message": words, "type": "invalid_request_error", "param": "tools", "code": "tools_unsupported"}}
    error = errors.error_from_answer(400, body, model="m")
    assert isinstance(error, errors.ToolsUnsupported)
    assert error.reason == words


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ((401, refusal("token_not_found_in_db")), HubState.WRONG_KEY),
        ((401, refusal("expired_key")), HubState.WRONG_KEY),
        ((401, refusal("auth_error", "Authentication Error, Key is blocked.")), HubState.WRONG_KEY),
        ((200, {"info": {"spend": 5.0, "max_budget": 5.0}}), HubState.OVER_BUDGET),
        ((200, {"info": {"spend": 0.0, "max_budget": 0.0}}), HubState.OVER_BUDGET),
    ],
)
def test_a_wrong_or_spent_key_is_told_without_a_request_that_counts_as_one(
    info: tuple[int, Any], state: HubState
) -> None:
    asked: list[str] = []
    status = hub_that_says((200, MODELS), info, asked).status()
    assert status.state is state
    assert status.reason
    assert status.remedy
    assert asked == ["/health/liveliness", "/key/info"]


@pytest.mark.parametrize(
    "info", [(403, {"detail": "not allowed to call this route"}), (500, {}), (200, {"info": 5}), (200, [])]
)
def test_a_key_that_may_not_read_its_budget_still_has_its_models(info: tuple[int, Any]) -> None:
    status = hub_that_says((200, MODELS), info).status()
    assert (status.state, status.models) == (HubState.OK, ("smollm2", "phi"))
    assert (status.spend, status.max_budget, status.budget_reset_at) == (None, None, None)


def test_a_spent_key_tells_spend_and_when_it_counts_anew() -> None:
    info = {"info": {"spend": 5.1, "max_budget": 5.0, "budget_reset_at": "2026-12-01T00:00:00+00:00"}}
    status = hub_that_says((200, MODELS), (200, info)).status()
    assert status.state is HubState.OVER_BUDGET
    when = datetime(2026, 12, 1, tzinfo=UTC).astimezone()
    assert f"renews on {when.day} {when:%B %Y at %H:%M}" in status.remedy
    assert (status.spend, status.max_budget) == (5.1, 5.0)
    assert status.budget_reset_at == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_budget_that_only_the_hub_knows_to_be_spent_is_told_too() -> None:
    info = {"info": {"spend": 0.5, "max_budget": 5.0}}
    status = hub_that_says((422, refusal("budget_exceeded")), (200, info)).status()
    assert (status.state, status.spend) == (HubState.OVER_BUDGET, 0.5)


@pytest.mark.parametrize("when", [None, "soon", 7])
def test_a_budget_without_a_date_has_none(when: object) -> None:
    info = {"info": {"spend": 0.0, "max_budget": None, "budget_reset_at": when}}
    assert hub_that_says((200, MODELS), (200, info)).status().budget_reset_at is None


def hub_with_models(*entries: dict[str, Any]) -> HubClient:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"data": list(entries)}))
    return HubClient("http://hub.test/v1", "sk-x1234", transport=answer)


def model(name: str, context: object = 4096, read: object = 1e-7, written: object = 2e-7) -> dict[str, Any]:
    info = {"max_input_tokens": context, "input_cost_per_token": read, "output_cost_per_token": written}
    return {"model_group": name, **info}


def test_models_have_contexts_and_prices() -> None:
    client = hub_with_models(model("smollm2"), model("phi", 2048.0, None, None), {"model_group": "bare"})
    assert client.model_info() == {
        "smollm2": ModelInfo(4096, 1e-7, 2e-7),
        "phi": ModelInfo(2048, None, None),
        "bare": ModelInfo(None, None, None),
    }


def test_the_labs_hub_says_more_of_a_model_and_knows_what_nobody_stated() -> None:
    notes = {"m": {"size": "1.5B", "about": "code", "tools": True, "memory": "asleep"}, "own": {"memory": "melted"}}
    entries = [{"model_group": name, "supports_function_calling": False} for name in ("m", "own", "late")]
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": entries, "lab": {"models": notes}}))
    assert HubClient("http://hub.test/v1", "sk-x1234", transport=answer).model_info() == {
        "m": ModelInfo(tools=True, size="1.5B", about="code", memory=Memory.ASLEEP),
        "own": ModelInfo(),
        "late": ModelInfo(),
    }


@pytest.mark.parametrize("entries", [[5], [{}], ["m"]])
def test_a_description_of_another_form_is_a_bad_answer(entries: list[Any]) -> None:
    with pytest.raises(errors.BadAnswer, match="models"):
        hub_with_models(*entries).model_info()


def test_what_the_hub_warns_of_is_passed_on_without_a_key(hub: ScriptedHub) -> None:
    client = HubClient(hub.url, "")
    assert client.warnings() == []
    hub.readiness = 503, {"lab": {"warnings": ["The usage log is behind by 2 minutes."]}}
    assert client.warnings() == ["The usage log is behind by 2 minutes."]
    hub.readiness = 200, {"status": "healthy"}
    assert client.warnings() == []


@pytest.mark.parametrize("body", ["ready", {"lab": 5}, {"lab": {"warnings": "behind"}}, []])
def test_a_readiness_of_another_form_is_a_bad_answer(hub: ScriptedHub, body: object) -> None:
    hub.readiness = 200, body
    with pytest.raises(errors.BadAnswer, match="readiness"):
        HubClient(hub.url, "").warnings()


def test_a_hub_that_is_down_warns_of_nothing() -> None:
    with pytest.raises(errors.HubUnreachable):
        HubClient(f"http://127.0.0.1:{unused_port()}/v1", "").warnings()
    with pytest.raises(errors.NotConfigured, match="LITELLM_BASE_URL"):
        HubClient("", "").warnings()


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://proxy")
    client = HubClient("http://hub.example/v1", "sk-x1234")
    assert client.status().state is HubState.NOT_CONFIGURED
    with pytest.raises(errors.NotConfigured, match="proxy"):
        client.models()
