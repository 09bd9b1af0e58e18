"""Who is served when slots are taken: nobody waits beside a free slot, none is lost, and shares are fair."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hub.gateway.fair_queue import FairQueue, Ticket

pytestmark = pytest.mark.anyio

Length = Callable[[str], float]


class Runtime:
    """A queue in simulated time: a request holds its slot for as many seconds as it costs tokens."""

    def __init__(self, slots: dict[str, int], length: Length) -> None:
        self.queue = FairQueue()
        self.slots = slots
        self.length = length
        self.now = 0.0
        self.tokens: Counter[str] = Counter()
        self.waits: dict[str, list[float]] = defaultdict(list)
        self.waiting: list[tuple[Ticket, str, float, float]] = []
        self.running: list[tuple[float, int, Ticket, str, float]] = []
        self._numbers = itertools.count()

    def ask(self, key: str, weight: float = 1.0) -> None:
        self.waiting.append((self.queue.enter(key, self.slots, weight), key, self.length(key), self.now))
        self._begin()

    def _begin(self) -> None:
        for each in [each for each in self.waiting if each[0].host]:
            ticket, key, length, since = each
            self.waiting.remove(each)
            self.waits[key].append(self.now - since)
            heapq.heappush(self.running, (self.now + length, next(self._numbers), ticket, key, length))

    def step(self) -> str:
        """Let the next answer end; returns whose it was."""
        self.now, _, ticket, key, length = heapq.heappop(self.running)
        self.tokens[key] += round(length)
        ticket.leave()
        ticket.settle(length)
        self._begin()
        return key


def jain(shares: list[float]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


async def test_a_free_slot_is_had_at_once_and_costs_no_turn_of_the_loop() -> None:
    queue = FairQueue()
    first, second = queue.enter("anna", {"a": 1}), queue.enter("ben", {"a": 1})
    assert (first.host, second.host) == ("a", None)
    assert (first.place, second.place) == (None, 1)
    waiting = asyncio.create_task(second.served())
    await asyncio.sleep(0)
    first.leave()
    await waiting
    assert second.host == "a"


def test_a_ticket_is_left_once() -> None:
    queue = FairQueue()
    first, second, third = (queue.enter("anna", {"a": 1}) for _ in range(3))
    first.leave()
    first.leave()
    assert (second.host, third.host) == ("a", None)


def test_the_emptiest_host_is_taken_and_a_request_only_goes_where_it_may() -> None:
    queue = FairQueue()
    both = {"a": 2, "b": 3}
    assert Counter(queue.enter("anna", both).host for _ in range(5)) == {"a": 2, "b": 3}
    only = queue.enter("ben", {"a": 2})
    anywhere = queue.enter("anna", both)
    assert (only.host, anywhere.host) == (None, None)


def test_more_slots_are_used_at_once() -> None:
    queue = FairQueue()
    first, second = queue.enter("anna", {"a": 1}), queue.enter("anna", {"a": 1})
    queue.enter("ben", {"a": 3})
    assert (first.host, second.host) == ("a", "a")


def test_the_place_is_the_turn() -> None:
    queue = FairQueue()
    running = queue.enter("anna", {"a": 1})
    tickets = [queue.enter(key, {"a": 1}) for key in ["anna", "anna", "anna", "ben", "ben", "carla"]]
    expected = sorted(tickets, key=lambda each: each.place or 0)
    assert [each.place for each in expected] == [1, 2, 3, 4, 5, 6]
    served = []
    for _ in tickets:
        running.leave()
        [running] = [each for each in tickets if each.host and each not in served]
        running.settle(500)
        served.append(running)
    assert served == expected


def test_one_with_fifty_at_once_takes_one_turn_in_thirty() -> None:
    waits = {}
    for flood in (0, 50):
        runtime = Runtime({"a": 2}, lambda _: 20)
        for _ in range(flood):
            runtime.ask("flood")
        for number in range(29):
            runtime.ask(f"person{number}")
        while runtime.running:
            runtime.step()
        found = sorted(wait for key, own in runtime.waits.items() if key != "flood" for wait in own)
        waits[flood] = found[round(0.95 * len(found)) - 1]
    assert waits[50] <= 1.2 * waits[0]


@pytest.mark.parametrize("slots", [{"a": 1}, {"a": 2}, {"a": 2, "b": 6}])
def test_shares_are_equal_by_tokens_however_long_answers_are(slots: dict[str, int]) -> None:
    chance = random.Random(1)
    typical = {f"key{number}": 20 * 2 ** (number % 5) for number in range(30)}
    runtime = Runtime(slots, lambda key: chance.uniform(0.5, 1.5) * typical[key])
    for key in typical:
        for _ in range(3):
            runtime.ask(key)
    for _ in range(1200):
        runtime.ask(runtime.step())
    assert jain(list(runtime.tokens.values())) > 0.98


def test_a_share_follows_its_weight() -> None:
    runtime = Runtime({"a": 2}, lambda _: 50)
    weights = {"student": 1.0, "teacher": 3.0}
    for key, weight in weights.items():
        for _ in range(4):
            runtime.ask(key, weight)
    for _ in range(400):
        key = runtime.step()
        runtime.ask(key, weights[key])
    assert runtime.tokens["teacher"] / runtime.tokens["student"] == pytest.approx(3, rel=0.05)


def test_a_rest_saves_up_no_turns_and_use_of_an_empty_lab_is_no_debt() -> None:
    runtime = Runtime({"a": 1}, lambda _: 100)
    runtime.ask("late")
    runtime.step()
    for _ in range(2):
        runtime.ask("early")
    for _ in range(200):
        runtime.ask(runtime.step())
    for _ in range(3):
        runtime.ask("late")
    before = runtime.tokens.copy()
    for _ in range(20):
        runtime.ask(runtime.step())
    had = {key: runtime.tokens[key] - before[key] for key in ("early", "late")}
    assert abs(had["early"] - had["late"]) <= 200


SLOTS = {"a": 1, "b": 2, "c": 1}
HOSTS = st.sets(st.sampled_from(sorted(SLOTS)), min_size=1)


@given(st.data())
def test_no_slot_is_lost_or_idle_whatever_happens(data: st.DataObject) -> None:
    queue = FairQueue()
    tickets: list[tuple[Ticket, set[str]]] = []
    for _ in range(data.draw(st.integers(0, 60))):
        if tickets and data.draw(st.booleans()):
            ticket, _ = tickets.pop(data.draw(st.integers(0, len(tickets) - 1)))
            if data.draw(st.booleans()):
                ticket.settle(data.draw(st.floats(0, 5000)))
            ticket.leave()
        else:
            hosts, weight = data.draw(HOSTS), data.draw(st.sampled_from([0.5, 1, 3]))
            ticket = queue.enter(data.draw(st.sampled_from("xyz")), {host: SLOTS[host] for host in hosts}, weight)
            tickets.append((ticket, hosts))
        busy = Counter(ticket.host for ticket, _ in tickets if ticket.host)
        assert all(busy[host] <= SLOTS[host] for host in SLOTS)
        assert all(busy[host] == SLOTS[host] for ticket, hosts in tickets if not ticket.host for host in hosts)
        places = sorted(place for ticket, _ in tickets if (place := ticket.place))
        assert places == list(range(1, len(places) + 1))
    for ticket, _ in tickets:
        ticket.leave()
    hosts = [queue.enter("x", SLOTS).host for _ in range(5)]
    assert Counter(hosts) == {"a": 1, "b": 2, "c": 1, None: 1}


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.floats(0, 0.9))
def test_no_slot_is_lost_when_those_who_wait_are_cancelled(seed: int, leaving: float) -> None:
    chance = random.Random(seed)
    queue = FairQueue()

    async def request(key: str) -> None:
        ticket = queue.enter(key, {"a": 2})
        try:
            await ticket.served()
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                raise ConnectionError
        finally:
            ticket.leave()

    async def requests() -> None:
        tasks = [asyncio.create_task(request(str(chance.randrange(4)))) for _ in range(40)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            if chance.random() < leaving:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(requests())
    assert [queue.enter("x", {"a": 2}).host for _ in range(3)] == ["a", "a", None]


@settings(max_examples=30)
@given(
    slots=st.integers(1, 4),
    weights=st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=2, max_size=6),
    longest=st.integers(1, 5000),
    seed=st.integers(0, 2**32),
)
def test_two_who_always_wait_differ_by_no_more_than_what_is_in_the_slots(
    slots: int, weights: list[float], longest: int, seed: int
) -> None:
    chance = random.Random(seed)
    runtime = Runtime({"a": slots}, lambda _: chance.randint(1, longest))
    keys = dict(zip("abcdef", weights, strict=False))
    for key, weight in keys.items():
        for _ in range(slots + 1):
            runtime.ask(key, weight)
    for _ in range(200):
        key = runtime.step()
        runtime.ask(key, keys[key])
    most = (slots + 1) * longest
    for one, other in itertools.combinations(keys, 2):
        apart = abs(runtime.tokens[one] / keys[one] - runtime.tokens[other] / keys[other])
        assert apart <= most * (1 / keys[one] + 1 / keys[other])
