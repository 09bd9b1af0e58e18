"""Requests wait for a slot of their model: whose turn it is, who hears of it, and what becomes of one that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from litellm_hub.gateway import admission
from litellm_hub.gateway.admission import Admission, ClientLeftError, Visit, WaitedTooLongError

pytestmark = pytest.mark.anyio


def deployment(host: str, slots: object = None, model: str = "m") -> Mapping[str, Any]:
    return {"model_name": model, "model_info": {"id": host} | ({} if slots is None else {"parallel_requests": slots})}


class Request:
    """One HTTP request: it asks for a slot, is answered when told so, or leaves."""

    def __init__(self, queues: Admission, *deployments: Mapping[str, Any], key: str = "k", team: Any = None) -> None:
        self.gone, self.answered = asyncio.Event(), asyncio.Event()
        self.chosen: list[Any] | None = None
        self.visit: Visit | None = None
        self._queues = queues
        self._deployments = deployments
        self._caller = SimpleNamespace(api_key=key, team_metadata=team)
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async def left() -> None:
            await self.gone.wait()

        with admission.visit("id", left) as self.visit:
            self._queues.identify(self._caller)
            found = await self._queues.admitted(self._deployments)
            self.chosen = [each["model_info"]["id"] for each in found]
            await self.answered.wait()

    async def end(self) -> None:
        self.answered.set()
        await self.task


@pytest.fixture
def queues() -> Admission:
    return Admission(lambda: 60.0)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_request_waits_for_a_slot_and_gets_the_host_that_has_one(queues: Admission) -> None:
    hosts = deployment("a", 1), deployment("b", 1)
    first, second, third = (Request(queues, *hosts) for _ in range(3))
    await settled()
    assert {str(first.chosen), str(second.chosen)} == {"['a']", "['b']"}
    assert third.chosen is None
    await second.end()
    await settled()
    assert third.chosen == second.chosen
    await asyncio.gather(first.end(), third.end())


@pytest.mark.parametrize("slots", [None, 0, "2", True])
async def test_a_model_with_a_deployment_of_no_known_number_has_no_queue(queues: Admission, slots: object) -> None:
    requests = [Request(queues, deployment("a", 1), deployment("cloud", slots)) for _ in range(5)]
    await settled()
    assert [each.chosen for each in requests] == [["a", "cloud"]] * 5
    await asyncio.gather(*(each.end() for each in requests))


async def test_models_have_slots_of_their_own(queues: Admission) -> None:
    requests = [Request(queues, deployment(name, 1, name)) for name in ("small", "large")]
    await settled()
    assert [each.chosen for each in requests] == [["small"], ["large"]]
    await asyncio.gather(*(each.end() for each in requests))


async def test_a_call_keeps_its_slot_and_one_that_is_tried_again_gets_another(queues: Admission) -> None:
    a, b = deployment("a", 1), deployment("b", 1)
    with admission.visit("", asyncio.Event().wait) as visit:  # type: ignore[arg-type]
        assert await queues.admitted([a]) == [a]
        assert not queues.lacks(a["model_info"])
        assert await queues.admitted([a]) == [a]
        assert queues.lacks(b["model_info"])
        assert await queues.admitted([b]) == [b]
        visit.leave()
        assert queues.lacks(b["model_info"])
        assert await queues.admitted([a, b]) in ([a], [b])
    assert not queues.lacks(a["model_info"])  # nothing asks any more


async def test_a_hundred_that_leave_while_they_wait_leak_no_slot(queues: Admission) -> None:
    host = deployment("a", 2)
    running = [Request(queues, host) for _ in range(2)]
    await settled()
    waiting = [Request(queues, host, key=f"key{number % 7}") for number in range(100)]
    await settled()
    for number, each in enumerate(waiting):
        each.gone.set() if number % 2 else each.task.cancel()
    await asyncio.gather(running[0].end(), return_exceptions=True)
    ends = await asyncio.gather(*(each.task for each in waiting), return_exceptions=True)
    assert {type(end) for end in ends} == {ClientLeftError, asyncio.CancelledError}
    await running[1].end()
    after = [Request(queues, host) for _ in range(3)]
    await settled()
    assert [each.chosen for each in after] == [["a"], ["a"], None]
    await asyncio.gather(*(each.end() for each in after))


async def test_who_waits_too_long_is_told_so_and_when_to_come_again() -> None:
    queues = Admission(lambda: 0.01)
    first = Request(queues, deployment("a", 1))
    await settled()
    with pytest.raises(WaitedTooLongError, match=r"No slot of the model 'm' came free in 0\.01 s") as caught:
        await Request(queues, deployment("a", 1)).task
    assert (caught.value.status_code, caught.value.headers) == (503, {"retry-after": "30"})
    await first.end()
    after = Request(queues, deployment("a", 1))
    await settled()
    assert after.chosen == ["a"]
    await after.end()


async def test_a_place_is_told_to_the_same_key_alone(queues: Admission) -> None:
    first = Request(queues, deployment("a", 1))
    await settled()
    waiting = [Request(queues, deployment("a", 1), key=key) for key in ("anna", "ben")]
    await settled()
    assert [queues.place("id", key) for key in ("anna", "ben", "k", "eve")] == [1, 2, None, None]
    assert queues.place("other", "anna") is None
    await first.end()
    await settled()
    assert [queues.place("id", key) for key in ("anna", "ben")] == [None, 1]
    await asyncio.gather(*(each.end() for each in waiting))


@pytest.mark.parametrize(
    ("team", "weight"),
    [(None, 1), ({}, 1), ({"queue_weight": 3}, 3), ({"queue_weight": "3"}, 1), ({"queue_weight": -1}, 0.01)],
)
async def test_a_team_weighs_what_its_metadata_says(queues: Admission, team: Any, weight: float) -> None:
    request = Request(queues, team=team)
    await settled()
    assert request.visit is not None
    assert request.visit.weight == weight
    await request.end()
