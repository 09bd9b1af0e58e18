"""What the hub says about its models beyond LiteLLM: the catalogue's words, and the runtime's about its memory."""

import hashlib
from typing import Any

import httpx
import pytest

from litellm_hub.gateway.model_notes import ModelNotes

pytestmark = pytest.mark.anyio


def deployment(name: str, model: str, port: int, **info: object) -> dict[str, Any]:
    path = "/v1" if model.startswith("openai/") else ""
    parameters = {"model": model, "api_base": f"http://127.0.0.1:{port}{path}", "api_key": "k"}
    return {"model_name": name, "litellm_params": parameters, "model_info": info}


CODER = deployment("coder", "openai/coder", 1, size="1.5B", about="code", supports_function_calling=True)
OWN = deployment("own", "openai/own", 2)


def runtime(**answers: httpx.Response | Exception) -> httpx.MockTransport:
    """Runtimes that answer by port and path."""

    def answer(request: httpx.Request) -> httpx.Response:
        said = answers[f"{request.url.path.strip('/').replace('/', '_')}_{request.url.port}"]
        if isinstance(said, Exception):
            raise said
        return said

    return httpx.MockTransport(answer)


def awake(is_sleeping: bool) -> httpx.Response:
    return httpx.Response(200, json={"is_sleeping": is_sleeping})


async def noted(transport: httpx.MockTransport, *names: str) -> dict[str, Any]:
    answer = {"data": [{"model_group": name} for name in names]}
    found = await ModelNotes(lambda: [CODER, OWN], transport).of(answer, {})
    assert found is not None
    models: dict[str, Any] = found["models"]
    return models


async def test_what_the_catalogue_states_is_told_and_what_it_does_not_is_left_out() -> None:
    assert await noted(runtime(props_1=awake(False), props_2=awake(True)), "coder", "own") == {
        "coder": {"size": "1.5B", "about": "code", "tools": True, "memory": "ready"},
        "own": {"memory": "asleep"},
    }


async def test_a_key_hears_of_its_own_models_alone() -> None:
    assert set(await noted(runtime(props_2=awake(False)), "own")) == {"own"}


async def test_a_runtime_that_is_healthy_and_keeps_the_question_is_loading() -> None:
    silent = httpx.ReadTimeout("")
    loading = runtime(props_2=silent, health_2=httpx.Response(200))
    assert (await noted(loading, "own"))["own"] == {"memory": "loading"}
    assert (await noted(runtime(props_2=silent, health_2=silent), "own"))["own"] == {}


@pytest.mark.parametrize(
    "said", [httpx.ConnectError(""), httpx.Response(500), httpx.Response(200, json=[]), httpx.Response(200, text="?")]
)
async def test_what_a_runtime_does_not_say_is_not_guessed(said: httpx.Response | Exception) -> None:
    assert (await noted(runtime(props_2=said), "own"))["own"] == {}


async def test_ollama_lists_what_is_in_its_memory() -> None:
    models = [deployment("a", "ollama_chat/a:1b", 3), deployment("b", "ollama_chat/b:1b", 3)]
    notes = ModelNotes(lambda: models, runtime(api_ps_3=httpx.Response(200, json={"models": [{"model": "a:1b"}]})))
    found = await notes.of({"data": [{"model_group": "a"}, {"model_group": "b"}]}, {})
    assert found == {"models": {"a": {"memory": "ready"}, "b": {"memory": "asleep"}}}


@pytest.mark.parametrize("answer", [{"error": {}}, {"data": None}, [], "x"])
async def test_an_answer_without_models_stays_as_it_is(answer: object) -> None:
    assert await ModelNotes(list, runtime()).of(answer, {}) is None


async def test_a_caller_hears_the_place_of_its_own_request() -> None:
    key = hashlib.sha256(b"sk-anna").hexdigest()
    places = {("one", key): 3}
    notes = ModelNotes(list, runtime(), lambda call_id, key: places.get((call_id, key)))
    headers = {b"authorization": b"Bearer sk-anna", b"x-litellm-call-id": b"one"}
    assert await notes.of({"data": []}, headers) == {"models": {}, "place": 3}
    assert await notes.of({"data": []}, headers | {b"authorization": b"Bearer sk-ben"}) == {"models": {}}
    assert await notes.of({"data": []}, {}) == {"models": {}}
