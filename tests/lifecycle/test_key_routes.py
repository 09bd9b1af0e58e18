"""What a key of the lab may use of the gateway: all its routes, walked with such a key."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg2
import pytest
import yaml

from litellm_hub.client import HubClient, HubState
from tests.support.lab import ROOT, Lab, wait_until

pytestmark = pytest.mark.lab

DERIVED = yaml.safe_load((ROOT / "ansible/group_vars/all/derived.yml").read_text())
LISTED: list[str] = sorted(DERIVED["hub_key_routes_own"])
BELOW = tuple(f"{route}/" for route in LISTED)
REFUSED = {401, 403, 404, 405, 429, 501, 503}  # the last two: what the lab has not switched on
# Pass-through to model servers elsewhere: a body without one of their models is refused before the key's routes.
ELSEWHERE = {"/laya/v1/systemone", "/bespoke/v1/systemone"}
# Below a listed path: the description of one model, and a count that no model is asked for.
HARMLESS = {"/v1/models/{model_id}", "/models/{model_id}", "/v1/messages/count_tokens"}
# Not in the gateway's own description of itself.
HIDDEN = [
    *(("GET", f"/spend/{name}") for name in ("keys", "users", "logs/ui")),
    *(("GET", f"/global/{name}") for name in ("spend", "spend/keys", "spend/models", "activity", "all_end_users")),
    *(("GET", f"/config/{name}") for name in ("list", "yaml", "field/info")),
    *(("POST", f"/config/{name}") for name in ("update", "field/update")),
    *(("GET", "/end_user/list"), ("POST", "/end_user/new"), ("GET", "/debug/report"), ("GET", "/model/settings")),
    *(("POST", "/v2/key/info"), ("POST", "/queue/chat/completions"), ("GET", "/user/available_roles")),
]
# Answered without a key, to anyone: alive, what LiteLLM is, and the log-ins of its Admin UI and of its MCP servers.
OPEN = re.compile(
    r"/|/(routes|test|redoc|openapi\.json|docs/.*|robots\.txt|health/(liveliness|liveness|readiness))"
    r"|/(litellm/)?\.well-known/.*|/public/.*|/get/ui_\w+|/claude-code/marketplace\.json|/api/event_logging/batch"
    r"|(/\{\w+\})?/(register|token|authorize)|/register"
)
# How a caller may bring a key besides `Authorization: Bearer`.
OTHER_FORMS = ("/langfuse/x", "/gemini/x", "/anthropic/v1/messages", "/vertex_ai/x", "/v1/vector_stores", "/v1/files")


@pytest.fixture(scope="module")
def hub(lab: Lab) -> Iterator[httpx.Client]:
    # A connection for each request: one that the gateway is just closing would look like a failure.
    with httpx.Client(base_url=lab.hub_url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


@pytest.fixture(scope="module")
def answers(lab: Lab, hub: httpx.Client) -> dict[tuple[str, str], tuple[int, int]]:
    """The statuses of each operation with the notebooks' key and, where that was not refused, without any key.

    Operations that look at the key decide by the path alone, so one of a path is asked; all others are asked.
    """
    paths = hub.get("/openapi.json").json()["paths"]
    operations: dict[tuple[str, str], None] = dict.fromkeys(HIDDEN)
    for path, found in paths.items():
        guarded = [method for method, operation in found.items() if operation.get("security")]
        asked = [method for method in found if method not in guarded] + guarded[:1]
        listed = path in LISTED or path.startswith(BELOW)
        operations |= dict.fromkeys((method.upper(), path) for method in (found if listed else asked))
    assert len(operations) > 600, "the gateway describes itself"
    return asyncio.run(ask_all(lab, list(operations)))


async def ask_all(lab: Lab, operations: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int]]:
    key = {"Authorization": f"Bearer {lab.notebook_key}"}
    slots = asyncio.Semaphore(8)
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=lab.hub_url, timeout=120, limits=limits) as client:

        async def status(method: str, path: str, headers: dict[str, str]) -> int:
            body = {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}
            async with slots, client.stream(method, re.sub(r"\{[^}]*\}", "x", path), headers=headers, **body) as answer:
                return answer.status_code

        async def both(method: str, path: str) -> tuple[int, int]:
            found = await status(method, path, key)
            return found, found if found in REFUSED else await status(method, path, {})

        found = await asyncio.gather(*(both(*operation) for operation in operations))
    return dict(zip(operations, found, strict=True))


def test_what_is_not_listed_is_refused_or_open_to_anyone(answers: dict[tuple[str, str], tuple[int, int]]) -> None:
    elsewhere = {
        operation: statuses
        for operation, statuses in answers.items()
        if operation[1] not in {*LISTED, *ELSEWHERE} and not operation[1].startswith(BELOW)
    }
    assert len(elsewhere) > 600
    opened = {operation: found for operation, found in elsewhere.items() if found[0] != found[1]}
    assert opened == {}, "the key opens what is not listed"
    served = {path for (_, path), (status, _) in elsewhere.items() if status < 400}
    assert {path for path in served if not OPEN.fullmatch(path)} == set()


def test_what_is_listed_is_open_and_nothing_that_calls_a_model_lies_below(
    answers: dict[tuple[str, str], tuple[int, int]],
) -> None:
    taken = {path for (_, path), (status, _) in answers.items() if path in LISTED and status not in REFUSED}
    assert taken == set(LISTED), "a call without a body is refused as such, not for its key"
    below = {path for (_, path), (status, _) in answers.items() if path not in LISTED and status not in REFUSED}
    assert {path for path in below if path.startswith(BELOW)} <= HARMLESS


def test_pass_through_is_refused_with_a_model_that_is_there(lab: Lab, hub: httpx.Client) -> None:
    for path, model in zip(sorted(ELSEWHERE), ("nimble", "english"), strict=True):
        answer = hub.post(path, json={"model": model}, headers={"Authorization": f"Bearer {lab.notebook_key}"})
        assert answer.status_code in REFUSED, path


@pytest.mark.parametrize("path", OTHER_FORMS)
def test_a_key_in_another_form_opens_no_more(lab: Lab, hub: httpx.Client, path: str) -> None:
    key = lab.notebook_key
    forms: list[dict[str, Any]] = [
        {"params": {"key": key}},
        {"auth": ("lab", key)},
        *({"headers": {name: key}} for name in ("x-goog-api-key", "x-api-key", "api-key", "x-litellm-api-key")),
    ]
    for form in forms:
        assert hub.get(path, **form).status_code in REFUSED | {400, 500}, form.keys()


def test_a_notebook_makes_no_key_and_reads_none_but_its_own(lab: Lab, hub: httpx.Client) -> None:
    hub_as_notebook = {"Authorization": f"Bearer {lab.notebook_key}"}
    for body in ({}, {"max_budget": 0.001}, {"user_id": "notebook"}, {"key_type": "llm_api"}):
        assert hub.post("/key/generate", json=body, headers=hub_as_notebook).status_code == 403
    assert hub.get("/key/info", headers=hub_as_notebook).json()["info"]["key_alias"] == "notebook"
    foreign = lab.hub("/key/generate", {"max_budget": 1.0, "user_id": f"other-{uuid4()}"})["key"]
    try:
        for shown in (foreign, hashlib.sha256(foreign.encode()).hexdigest()):
            assert hub.get("/key/info", params={"key": shown}, headers=hub_as_notebook).status_code == 403
    finally:
        lab.hub("/key/delete", {"keys": [foreign]})


def test_no_key_of_the_lab_learns_where_the_runtime_is(lab: Lab, hub: httpx.Client) -> None:
    for path in (*(route for route in LISTED if route.endswith(("models", "info"))), "/v1/models/smollm2"):
        told = hub.get(path, headers={"Authorization": f"Bearer {lab.notebook_key}"}).text
        assert str(lab.variables["runtime_port"]) not in told


def test_every_key_that_the_play_makes_has_its_routes() -> None:
    tasks = [
        task
        for file in sorted((ROOT / "ansible").rglob("tasks/*.yml"))
        for task in _tasks(file)
        if "/key/generate" in str(task)
    ]
    assert len(tasks) == 2
    assert all("'allowed_routes': '{{ hub_key_routes }}'" in str(task) for task in tasks)


def _tasks(file: Path) -> Iterator[dict[str, Any]]:
    def inside(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for task in tasks:
            nested = [part for name in ("block", "rescue", "always") for part in task.get(name) or []]
            yield from inside(nested) if nested else [task]

    yield from inside(yaml.safe_load(file.read_text()) or [])


def test_asking_how_the_hub_is_with_a_wrong_or_spent_key_leaves_no_failure(lab: Lab) -> None:
    keys = {HubState.WRONG_KEY: f"sk-{uuid4().hex}"}
    spent = lab.hub("/key/generate", {"max_budget": 0.0, "budget_duration": "30d", "allowed_routes": LISTED})["key"]
    keys[HubState.OVER_BUDGET] = spent
    try:
        for state, key in keys.items():
            status = HubClient(f"{lab.hub_url}/v1", key).status()
            assert status.state is state
            assert (status.budget_reset_at is not None) == (state is HubState.OVER_BUDGET)
        # What was asked afterwards has its row: theirs would be there as well.
        own = lab.hub("/key/generate", {"max_budget": 1.0, "allowed_routes": LISTED})["key"]
        keys[HubState.OK] = own
        body = {"model": lab.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        lab.hub("/v1/chat/completions", body, key=own)
        wait_until(lambda: rows(lab, own) == 1, 60, "the row of the call")
        assert [rows(lab, keys[state]) for state in (HubState.WRONG_KEY, HubState.OVER_BUDGET)] == [0, 0]
    finally:
        lab.hub("/key/delete", {"keys": [keys[state] for state in keys if state is not HubState.WRONG_KEY]})


def rows(lab: Lab, key: str) -> int:
    connection = psycopg2.connect(lab.database_url)
    try:
        with connection, connection.cursor() as cursor:
            token = hashlib.sha256(key.encode()).hexdigest()
            cursor.execute('SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE api_key = %s', (token,))
            return int(cursor.fetchone()[0])
    finally:
        connection.close()
