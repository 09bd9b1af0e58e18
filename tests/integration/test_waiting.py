"""More requests than a model has slots: they wait in the gateway, fairly, and leave no slot and no false row behind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from litellm_hub.client import HubClient
from tests.conftest import GatewayEnv
from tests.doubles.counted_model import NAME, CountedModel, counted_model
from tests.support.gateway import Gateway, another_gateway
from tests.support.lab import Lab, wait_until
from tests.support.load import Caller, new_caller

pytestmark = pytest.mark.lab

SLOTS = 2
TIMEOUT_S = 15.0
ROW_SECONDS = 30


@dataclass(frozen=True)
class Hub:
    """A real gateway before a model of two slots.

    Attributes:
        gateway: The gateway.
        model: The model.
        lab: The lab whose database it uses.
        threads: For the requests that are under way at the same time.
    """

    gateway: Gateway
    model: CountedModel
    lab: Lab
    threads: ThreadPoolExecutor

    def caller(self) -> Caller:
        return new_caller(self.gateway.url.removesuffix("/v1"), self.lab.master_key)

    def ask(
        self,
        caller: Caller,
        pause: float = 0.0,
        stream: bool = False,
        model: str = NAME,
        call_id: str = "",
        limit: float = 120,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {caller.key}", **({"x-litellm-call-id": call_id} if call_id else {})}
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": f"Count. pause={pause}"}]}
        return httpx.post(f"{self.gateway.url}/chat/completions", headers=headers, json=body, timeout=limit)

    def begin(self, *arguments: Any, **options: Any) -> Future[httpx.Response]:
        return self.threads.submit(self.ask, *arguments, **options)

    @contextmanager
    def full(self) -> Iterator[None]:
        """All slots are taken for the block, by streams."""
        holder = self.caller()
        held = [self.begin(holder, pause=TIMEOUT_S / 3, stream=True, limit=TIMEOUT_S * 3) for _ in range(SLOTS)]
        wait_until(lambda: self.model.at_work == SLOTS, 30, "all slots are taken")
        yield
        assert [each.result().status_code for each in held] == [200] * SLOTS

    def statuses(self, caller: Caller) -> Counter[str]:
        connection = psycopg2.connect(self.lab.database_url)
        with connection, connection.cursor() as cursor:
            cursor.execute('SELECT status FROM "LiteLLM_SpendLogs" WHERE api_key = %s', (caller.token,))
            found = Counter(str(status) for (status,) in cursor.fetchall())
        connection.close()
        return found

    def place(self, caller: Caller, call_id: str) -> object:
        headers = {"Authorization": f"Bearer {caller.key}", "x-litellm-call-id": call_id}
        url = self.gateway.url.removesuffix("/v1") + "/model_group/info"
        answer = httpx.get(url, params={"model_group": NAME}, headers=headers, timeout=30)
        return answer.json()["lab"].get("place")


@pytest.fixture(scope="module")
def hub(lab: Lab, gateway_env: GatewayEnv, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("waiting")
    with (
        ThreadPoolExecutor(150) as threads,
        counted_model() as model,
        another_gateway(lab, gateway_env, folder, {NAME: model.url}, {NAME: SLOTS}, TIMEOUT_S) as gateway,
    ):
        yield Hub(gateway, model, lab, threads)


def test_no_more_than_the_slots_are_used_and_nobody_is_refused(hub: Hub) -> None:
    caller = hub.caller()
    first = hub.ask(caller)
    assert first.status_code == 200, first.text
    deployment = first.headers["x-litellm-model-id"]
    hub.model.most = 0
    asked = [
        hub.begin(caller, pause=0.05, stream=bool(number % 2), model=deployment if number % 5 == 0 else NAME)
        for number in range(20)
    ]
    assert Counter(each.result().status_code for each in asked) == {200: 20}
    assert hub.model.most == SLOTS
    wait_until(lambda: hub.statuses(caller) == {"success": 21}, ROW_SECONDS, "a row for each answer")


def test_one_with_many_at_once_keeps_nobody_waiting(hub: Hub) -> None:
    flooding, other = hub.caller(), hub.caller()
    assert hub.ask(other).status_code == 200
    many = [hub.begin(flooding, pause=0.2) for _ in range(20)]
    wait_until(lambda: hub.model.at_work == SLOTS, 30, "the slots are taken")
    assert hub.ask(other).status_code == 200
    assert sum(each.done() for each in many) <= 10
    assert {each.result().status_code for each in many} == {200}


def test_a_hundred_that_leave_while_they_wait_leak_no_slot_and_leave_no_row(hub: Hub) -> None:
    caller = hub.caller()
    assert hub.ask(caller).status_code == 200
    begun = hub.model.begun["/v1/chat/completions"]
    with hub.full():
        gone = [hub.begin(caller, stream=bool(number % 2), limit=5) for number in range(100)]
        assert {type(each.exception()) for each in gone} <= {httpx.ReadTimeout, httpx.ConnectTimeout}
    assert hub.model.begun["/v1/chat/completions"] == begun + SLOTS
    hub.model.most = 0
    after = [hub.begin(caller, pause=0.1) for _ in range(4)]
    assert {each.result().status_code for each in after} == {200}
    assert hub.model.most == SLOTS
    wait_until(lambda: hub.statuses(caller)["success"] == 5, ROW_SECONDS, "a row for each answer")
    assert hub.statuses(caller) == {"success": 5}


def test_who_waits_longer_than_a_request_may_take_is_told_so_and_has_a_row(hub: Hub) -> None:
    caller = hub.caller()
    with hub.full():
        began = time.monotonic()
        refused = hub.ask(caller)
        assert time.monotonic() - began >= TIMEOUT_S
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "30"
    error = refused.json()["error"]
    assert f"No slot of the model '{NAME}' came free in {TIMEOUT_S:g} s. Ask again later." in error["message"]
    wait_until(lambda: hub.statuses(caller) == {"failure": 1}, ROW_SECONDS, "a row of the refusal")


def test_the_place_of_a_request_is_told_to_its_own_key(hub: Hub) -> None:
    caller, other = hub.caller(), hub.caller()
    client = HubClient(hub.gateway.url, caller.key)
    stream = client.stream_chat(NAME, [{"role": "user", "content": "Count."}])
    with hub.full():
        reading = hub.threads.submit(list, stream)
        wait_until(lambda: client.delay(stream).place == 1, 30, "a place")
        assert hub.place(caller, "other") is None
        assert hub.place(other, stream.call_id) is None
        assert "No slot of the model" in str(reading.exception())
    assert client.delay(stream).place is None
