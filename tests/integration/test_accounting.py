"""Every answer leaves one row with its price, on every path, and no request harms the accounts of another."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg2
import pytest

from tests.doubles.counted_model import NAME, PROMPT_TOKENS, WORDS
from tests.support.gateway import PRICE, Gateway
from tests.support.lab import Lab, wait_until
from tests.support.load import Caller, accounts, new_caller
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = pytest.mark.lab

ROW_SECONDS = 15
ANSWER_COST = PROMPT_TOKENS * PRICE["input_cost_per_token"] + WORDS * PRICE["output_cost_per_token"]
MESSAGES = [{"role": "user", "content": "Count."}]


def chat(prompt: str = "Count.", **more: Any) -> dict[str, Any]:
    return {"model": NAME, "messages": [{"role": "user", "content": prompt}], **more}


PATHS: dict[str, Callable[..., dict[str, Any]]] = {
    "/v1/chat/completions": chat,
    "/v1/completions": lambda prompt="Count.", **more: {"model": NAME, "prompt": prompt, **more},
    "/v1/responses": lambda prompt="Count.", **more: {"model": NAME, "input": prompt, **more},
    "/v1/messages": lambda prompt="Count.", **more: chat(prompt, max_tokens=100, **more),
}
CALLS = list(itertools.product(PATHS, (False, True)))


@dataclass(frozen=True)
class Hub:
    """A real gateway before a model that counts, with a caller of its own and what the database holds of both."""

    gateway: Gateway
    lab: Lab
    caller: Caller

    @property
    def url(self) -> str:
        return self.gateway.url.removesuffix("/v1")

    def post(self, path: str, body: object, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.caller.key}", **options.pop("headers", {})}
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.post(self.url + path, headers=headers, timeout=60, **sent, **options)

    def ask(self, path: str = "/v1/chat/completions", *, stream: bool = False, prompt: str = "Count.") -> str:
        """Send one request; return the call id of an answer that came whole."""
        answer = self.post(path, PATHS[path](prompt, stream=stream))
        assert answer.status_code == 200, answer.text
        assert f"word{WORDS - 1}" in answer.text
        return answer.headers["x-litellm-call-id"]

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.lab.database_url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall()
        finally:
            connection.close()

    def rows(self) -> list[tuple[Any, ...]]:
        """Call id, spend, prompt and completion tokens and status of the caller's rows."""
        return self.query(
            'SELECT litellm_call_id, spend, prompt_tokens, completion_tokens, status FROM "LiteLLM_SpendLogs"'
            " WHERE api_key = %s",
            self.caller.token,
        )

    def wait_for_rows(self, count: int) -> list[tuple[Any, ...]]:
        wait_until(lambda: len(self.rows()) >= count, ROW_SECONDS, f"{count} rows")
        return self.rows()

    def check_exact(self, calls: list[str]) -> None:
        """Compare rows with answers, and all spend with the rows' sum."""
        wait_until(lambda: set(calls) <= {row[0] for row in self.rows()}, ROW_SECONDS, "a row for each answer")
        rows = self.rows()
        assert Counter(row[0] for row in rows if row[4] == "success") == Counter(calls)
        total = sum(row[1] for row in rows)
        assert math.isclose(total, ANSWER_COST * len(calls), rel_tol=1e-9)
        found = accounts(self.lab.database_url, self.caller)
        for spend in (found.key_spend, found.user_spend, found.daily_spend):
            assert math.isclose(spend, total, rel_tol=1e-9)


@pytest.fixture
def hub(scripted_gateway: tuple[Gateway, ScriptedHub], lab: Lab) -> Hub:
    gateway, _ = scripted_gateway
    return Hub(gateway, lab, new_caller(gateway.url.removesuffix("/v1"), lab.master_key))


def test_every_path_is_priced_and_counted_in_every_order_of_calls(hub: Hub) -> None:
    orders = [CALLS, CALLS[::-1], CALLS[3:] + CALLS[:3]]
    calls = [hub.ask(path, stream=stream) for order in orders for path, stream in order]
    hub.check_exact(calls)
    assert {row[2:4] for row in hub.rows()} == {(PROMPT_TOKENS, WORDS)}


def test_embeddings_are_priced_by_their_inputs(hub: Hub) -> None:
    answer = hub.post("/v1/embeddings", {"model": NAME, "input": ["one", "two", "three"]})
    assert answer.status_code == 200, answer.text
    [row] = hub.wait_for_rows(1)
    assert row[1:4] == (pytest.approx(3 * PROMPT_TOKENS * PRICE["input_cost_per_token"]), 3 * PROMPT_TOKENS, 0)


@pytest.mark.parametrize("chosen", ["the-same", "", "None", "x" * 5000])
def test_a_runtime_that_chooses_bad_ids_loses_no_row(hub: Hub, chosen: str) -> None:
    calls = [hub.ask(path, stream=stream, prompt=f"id={chosen}") for path, stream in CALLS for _ in range(2)]
    hub.check_exact(calls)


def test_a_caller_who_reuses_a_call_id_loses_no_row(hub: Hub) -> None:
    call_id = f"mine-{uuid.uuid4()}"
    for path, stream in CALLS:
        answer = hub.post(path, PATHS[path](stream=stream), headers={"x-litellm-call-id": call_id})
        assert answer.status_code == 200, answer.text
    assert len({row[0] for row in hub.wait_for_rows(len(CALLS))}) == 1
    assert math.isclose(sum(row[1] for row in hub.rows()), ANSWER_COST * len(CALLS), rel_tol=1e-9)


LONG = uuid.uuid4().hex * 150


def hostile() -> Iterator[tuple[str, str, object, dict[str, str]]]:
    """Requests of the kinds that once stopped the accounts of everybody: path, method, body and headers."""
    for path, body in PATHS.items():
        yield path, "POST", body(litellm_session_id=LONG), {}
        yield path, "POST", body(litellm_trace_id=LONG, user=LONG), {}
        yield path, "POST", body(metadata={"tags": [f"t{number}" for number in range(20_000)]}), {}
        yield path, "POST", body(metadata={"tags": ["x" * 1_000_000], "session_id": LONG}), {}
        yield path, "POST", body(user="\x00\ud800 nobody"), {}
        yield path, "POST", body(), {"x-litellm-call-id": "None"}
        yield path, "POST", body(), {"x-litellm-session-id": LONG, "x-litellm-tags": "a," * 3000}
        yield path, "POST", b'{"metadata":' + b'{"a":' * 900 + b"1" + b"}" * 901, {}
        yield path, "POST", b"[1,2]", {}
        yield path, "POST", b"\xff\xfe", {"Content-Type": "text/plain"}
        yield path, "POST", body() | {"model": ",".join([NAME] * 20)}, {}
        yield path, "POST", body(custom_llm_provider="huggingface"), {}
    for _ in range(3):
        yield "/v1/assistants", "GET", None, {}


def test_hostile_requests_stop_the_accounts_of_nobody(hub: Hub) -> None:
    answered: list[str] = []

    def send(request: tuple[str, str, Any, dict[str, str]], key: str) -> None:
        path, method, body, more = request
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **more}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = httpx.request(method, hub.url + path, content=content, headers=headers, timeout=60)
        if answer.status_code == 200:
            assert key == hub.caller.key
            answered.append(path)

    with ThreadPoolExecutor(8) as pool:
        for key in (hub.caller.key, "sk-a-wrong-key"):
            list(pool.map(lambda request, key=key: send(request, key), hostile()))
    innocent = Hub(hub.gateway, hub.lab, new_caller(hub.url, hub.lab.master_key))
    calls = [innocent.ask(path, stream=stream) for path, stream in CALLS]
    innocent.check_exact(calls)
    wait_until(lambda: [row[4] for row in hub.rows()].count("success") == len(answered), ROW_SECONDS, "all rows")
    found = accounts(hub.lab.database_url, hub.caller)
    assert math.isclose(found.key_spend, sum(row[1] for row in hub.rows()), rel_tol=1e-9, abs_tol=1e-15)
    state = httpx.get(f"{hub.url}/health/readiness", timeout=10).json()["lab"]["journal"]
    assert (state["waiting"], state["set_aside"]) == (0, 0)


def test_a_wrong_key_leaves_no_row_and_a_known_one_leaves_its_failures(hub: Hub) -> None:
    wrong = httpx.post(f"{hub.url}/v1/chat/completions", json=chat(), headers={"Authorization": "Bearer sk-wrong-key"})
    assert wrong.status_code == 401
    assert hub.post("/v1/chat/completions", chat() | {"model": "nobody"}).status_code >= 400
    [row] = hub.wait_for_rows(1)
    assert row[1:5] == (0.0, 0, 0, "failure")
    token = hashlib.sha256(b"sk-wrong-key").hexdigest()
    assert hub.query('SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE api_key = %s', token) == [(0,)]


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_that_the_caller_leaves_is_counted_as_far_as_it_came(hub: Hub, path: str) -> None:
    body = PATHS[path]("words=50 pause=0.05", stream=True)
    headers = {"Authorization": f"Bearer {hub.caller.key}"}
    with httpx.stream("POST", hub.url + path, json=body, headers=headers, timeout=60) as answer:
        for line in answer.iter_lines():
            if "word5" in line:
                break
    [row] = hub.wait_for_rows(1)
    assert 0 < row[3] < 50
    assert row[1] > 0
    assert math.isclose(accounts(hub.lab.database_url, hub.caller).key_spend, row[1], rel_tol=1e-9)


def test_budgets_of_key_window_user_team_and_member_end_in_the_same_sum(hub: Hub) -> None:
    admin = httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {hub.lab.master_key}"}, timeout=30)
    with admin:
        user = admin.post("/user/new", json={"auto_create_key": False}).raise_for_status().json()["user_id"]
        members = [{"role": "user", "user_id": user}]
        windows = [{"budget_duration": "1d", "max_budget": 1.0}]
        team = admin.post("/team/new", json={"members_with_roles": members, "budget_limits": windows})
        team_id = team.raise_for_status().json()["team_id"]
        wanted = {"user_id": user, "team_id": team_id, "budget_limits": windows}
        key = admin.post("/key/generate", json=wanted).raise_for_status().json()["key"]
    paying = Hub(hub.gateway, hub.lab, Caller(key, user))
    calls = [paying.ask(path, stream=stream) for path, stream in CALLS]
    paying.check_exact(calls)
    total = ANSWER_COST * len(calls)
    for statement, of in (
        ('SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = %s', team_id),
        ('SELECT total_spend FROM "LiteLLM_TeamMembership" WHERE user_id = %s', user),
        ('SELECT sum(spend) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %s', team_id),
        ('SELECT spend FROM "LiteLLM_BudgetWindowSpend" WHERE entity_id = %s', team_id),
        ('SELECT spend FROM "LiteLLM_BudgetWindowSpend" WHERE entity_id = %s', paying.caller.token),
    ):
        assert hub.query(statement, of) == [(pytest.approx(total),)], statement


@pytest.mark.parametrize("path", PATHS)
def test_a_key_over_its_budget_is_refused_on_every_path(hub: Hub, path: str) -> None:
    poor = Hub(hub.gateway, hub.lab, new_caller(hub.url, hub.lab.master_key, max_budget=ANSWER_COST / 2))
    statuses = [poor.post(path, PATHS[path]()).status_code for _ in range(3)]
    assert statuses[0] == 200
    assert all(400 <= status < 500 for status in statuses[1:]), statuses
