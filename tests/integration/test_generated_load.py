"""Generated requests, valid or not, many left in the middle: rows and spend stay exact, nothing breaks.

`LAB_GENERATED_ROUNDS=8` sends more than a thousand.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.doubles.counted_model import NAME
from tests.support.gateway import Gateway
from tests.support.lab import Lab, wait_until
from tests.support.load import accounts, new_caller
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = pytest.mark.lab

ROUNDS, REQUESTS = int(os.environ.get("LAB_GENERATED_ROUNDS", "2")), 130
SECONDS = 30

TEXT = st.text(st.characters(codec=None), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
LONG = st.integers(200, 20_000).map(lambda size: "x" * size)
ORDERS = st.sampled_from(
    ["Count.", "id=same", "id=", "id=None", "words=1", "words=40", "words=30 pause=0.01", "ü ✓ 😀"]
)
NAMED = st.sampled_from(
    ["user", "metadata", "temperature", "max_tokens", "n", "stop", "seed", "top_p", "tools", "stream_options", "model",
     "messages", "input", "prompt", "litellm_session_id", "litellm_trace_id", "logprobs", "response_format", "tags",
     "store", "previous_response_id", "safety_identifier", "thinking", "custom_llm_provider", "background"]
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["x-litellm-call-id", "x-litellm-session-id", "x-litellm-tags", "user-agent", "x-session-id"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300),
    max_size=2,
)


@dataclass(frozen=True)
class Request:
    """One generated request; `leave` is the number of lines after which its caller goes, None for never."""

    path: str
    body: bytes
    headers: dict[str, str]
    leave: int | None


@st.composite
def requests(draw: st.DrawFn) -> Request:
    path = draw(st.sampled_from(["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]))
    prompt = draw(ORDERS | TEXT | LONG)
    field = {"/v1/completions": "prompt", "/v1/responses": "input"}.get(path)
    body: dict[str, Any] = {"model": NAME, "stream": draw(st.booleans())}
    body |= {field: prompt} if field else {"messages": [{"role": "user", "content": prompt}]}
    if path == "/v1/messages":
        body["max_tokens"] = 100
    if draw(st.integers(0, 4)) == 0:
        path = "/v1/embeddings"
        body = {"model": NAME, "input": draw(st.lists(TEXT, max_size=3) | TEXT)}
    if draw(st.booleans()):
        body |= draw(st.dictionaries(NAMED, JSON | LONG, max_size=2))
    raw = json.dumps(body).encode()
    if draw(st.integers(0, 19)) == 0:
        raw = draw(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
    return Request(path, raw, draw(HEADERS), draw(st.none() | st.none() | st.integers(0, 30)))


@dataclass(frozen=True)
class Result:
    status: int
    call_id: str | None
    whole: bool


def send(hub_url: str, key: str, request: Request) -> Result:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **request.headers}
    with httpx.stream("POST", hub_url + request.path, content=request.body, headers=headers, timeout=60) as answer:
        call_id = answer.headers.get("x-litellm-call-id")
        if answer.status_code != httpx.codes.OK:
            assert answer.status_code < 500, (answer.status_code, answer.read(), request)
            return Result(answer.status_code, call_id, whole=False)
        for number, _ in enumerate(answer.iter_lines()):
            if request.leave is not None and number >= request.leave:
                return Result(answer.status_code, call_id, whole=False)
    return Result(answer.status_code, call_id, whole=True)


def test_generated_requests_leave_exact_accounts(scripted_gateway: tuple[Gateway, ScriptedHub], lab: Lab) -> None:
    gateway, _ = scripted_gateway
    url = gateway.url.removesuffix("/v1")
    caller = new_caller(url, lab.master_key)
    set_aside = httpx.get(f"{url}/health/readiness").json()["lab"]["journal"]["set_aside"]
    results: list[Result] = []

    @settings(
        max_examples=ROUNDS,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(st.lists(requests(), min_size=REQUESTS, max_size=REQUESTS))
    def load(batch: list[Request]) -> None:
        with ThreadPoolExecutor(8) as pool:
            results.extend(pool.map(lambda request: send(url, caller.key, request), batch))

    load()
    assert len(results) >= ROUNDS * REQUESTS
    whole = Counter(result.call_id for result in results if result.whole)
    left = Counter(result.call_id for result in results if result.status == httpx.codes.OK and not result.whole)

    def rows() -> list[tuple[str, str, float]]:
        connection = psycopg2.connect(lab.database_url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    'SELECT litellm_call_id, status, spend FROM "LiteLLM_SpendLogs" WHERE api_key = %s', (caller.token,)
                )
                return cursor.fetchall()
        finally:
            connection.close()

    def waiting() -> int:
        return int(httpx.get(f"{url}/health/readiness").json()["lab"]["journal"]["waiting"])

    wait_until(
        lambda: Counter(row[0] for row in rows() if row[1] == "success") >= whole and not waiting(), SECONDS, "all rows"
    )
    found = rows()
    answered = Counter(call_id for call_id, status, _ in found if status == "success")
    assert answered - whole <= left
    total = math.fsum(spend for _, _, spend in found)
    paid = accounts(lab.database_url, caller)
    for spend in (paid.key_spend, paid.user_spend, paid.daily_spend):
        assert math.isclose(spend, total, rel_tol=1e-9)
    journal = httpx.get(f"{url}/health/readiness").json()["lab"]["journal"]
    assert journal["set_aside"] == set_aside
    print(f"{len(results)} requests, {whole.total()} whole, {left.total()} left, {len(found)} rows")
