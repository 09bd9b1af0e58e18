"""Measure how the gateway shares few slots among many keys; see README.md beside this file.

Usage: python -m benchmarks.fair [--lab HOME]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.hub import gateways
from benchmarks.hub.double import MODEL, PROMPT_TOKENS
from benchmarks.hub.gateways import BUILD, Gateway, Parts, Settings
from benchmarks.hub.load import PATIENCE_S
from benchmarks.scratch import hub

SLOTS, ANSWER_MS = 4, 1000
NO_QUEUE = 10**6  # the gateway hands all on at once: they wait at the double, first come, first served
PEOPLE, FLOOD, QUESTIONS = 29, 50, 2
SHARE_S = 90.0
AHEAD = 3  # requests of each key that are under way while shares are measured
TOGETHER, IN_ALL = 60, 120
ALONE = 10
LIMITS: dict[str, Callable[[float], bool]] = {
    "p95_wait_ratio": lambda found: found <= 2,
    "jain_by_tokens": lambda found: found >= 0.95,
    "refused": lambda found: found == 0,
    "throughput_ratio": lambda found: found >= 0.97,
}


@dataclass
class People:
    """A gateway and its keys.

    Attributes:
        gateway: The gateway.
        keys: One of each person; the first is the one who floods.
        refused: Answers that were none, by status.
    """

    gateway: Gateway
    keys: list[str]
    refused: Counter[int] = field(default_factory=Counter)

    async def ask(self, session: aiohttp.ClientSession, key: str, tokens: int = 64) -> float:
        """Ask once; return the seconds until the answer."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}], "max_tokens": tokens}
        begin = time.perf_counter()
        headers = {"Authorization": f"Bearer {key}"}
        async with session.post(f"{self.gateway.target.url}/chat/completions", json=body, headers=headers) as response:
            await response.read()
            if response.status != 200:
                self.refused[response.status] += 1
        return time.perf_counter() - begin

    async def known(self) -> None:
        """Let the gateway learn each key: 79 unknown ones at once are a load on its database of another kind."""
        async with self.session() as session:
            for first in range(0, len(self.keys), SLOTS):
                await asyncio.gather(*(self.ask(session, key) for key in self.keys[first : first + SLOTS]))

    async def waits(self, flood: int) -> float:
        """Let each person ask twice, beside one who asks so often at once; return the 95th percentile in seconds."""
        [flooding, *others] = self.keys

        async def person(key: str) -> list[float]:
            return [await self.ask(session, key) for _ in range(QUESTIONS)]

        async with self.session() as session:
            many = [asyncio.create_task(self.ask(session, flooding)) for _ in range(flood)]
            await asyncio.sleep(0.5)
            found = await asyncio.gather(*map(person, others))
            await asyncio.gather(*many)
        return statistics.quantiles(itertools.chain.from_iterable(found), n=20)[-1]

    async def shares(self) -> float:
        """Let all have requests waiting, with answers of five lengths; return Jain's index of their tokens."""
        had = Counter[str]()
        end = time.perf_counter() + SHARE_S

        async def asking(number: int, key: str) -> None:
            tokens = 50 * 2 ** (number % 5)
            while True:
                await self.ask(session, key, tokens)
                if time.perf_counter() > end:
                    return
                had[key] += PROMPT_TOKENS + tokens

        async with self.session() as session:
            await asyncio.gather(*(asking(number, key) for number, key in enumerate(self.keys) for _ in range(AHEAD)))
        return jain([had[key] for key in self.keys])

    async def rate(self) -> float:
        """Answers per second while all slots are wanted."""
        left = iter(itertools.islice(itertools.cycle(self.keys), IN_ALL))

        async def asking() -> None:
            for key in left:
                await self.ask(session, key)

        async with self.session() as session:
            begin = time.perf_counter()
            await asyncio.gather(*(asking() for _ in range(TOGETHER)))
            return IN_ALL / (time.perf_counter() - begin)

    async def alone(self) -> float:
        """Median of the seconds that an answer takes when nobody else is there."""
        async with self.session() as session:
            return statistics.median([await self.ask(session, self.keys[1]) for _ in range(ALONE)])

    def session(self) -> aiohttp.ClientSession:
        """A client with a connection for each request: the gateway closes idle ones, perhaps just when one is used."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S))


def jain(shares: list[int]) -> float:
    """Jain's index of fairness: 1 where all have the same."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def figures(fair: People, first_come: People) -> dict[str, tuple[float, float]]:
    """Measure both gateways, in turns; each figure of the queue, and without it."""
    found = {}
    for name, measure in {
        "p95_wait_ratio": lambda each: asyncio.run(each.waits(FLOOD)) / asyncio.run(each.waits(0)),
        "jain_by_tokens": lambda each: asyncio.run(each.shares()),
        "answers_per_s": lambda each: asyncio.run(each.rate()),
        "alone_s": lambda each: asyncio.run(each.alone()),
    }.items():
        found[name] = measure(fair), measure(first_come)
        print(
            f"{name}: {found[name][0]:.3f}, first come, first served {found[name][1]:.3f}", file=sys.stderr, flush=True
        )
    found["refused"] = fair.refused.pop(429, 0), first_come.refused.pop(429, 0)
    found["failed"] = fair.refused.total(), first_come.refused.total()
    return found


@contextmanager
def started(parts: Parts) -> Iterator[tuple[People, People]]:
    """Run the double, PostgreSQL and both gateways for the block."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(hub(parts.python, parts.database))
        runtime = stack.enter_context(gateways.double(ANSWER_MS, 0, SLOTS))
        settings = {
            name: Settings.rendered(parts, runtime, slots) for name, slots in (("fair", SLOTS), ("fifo", NO_QUEUE))
        }

        running = [
            stack.enter_context(gateways.ours(parts, server, runtime, each, name)) for name, each in settings.items()
        ]
        fair, fifo = (People(each, [each.another_key() for _ in range(PEOPLE + 1)]) for each in running)
        for people in (fair, fifo):
            asyncio.run(people.known())
        yield fair, fifo


def main() -> int:
    """Measure, print, judge; return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-fair", description="Measure how few slots are shared.")
    parser.add_argument("--lab", type=Path, help="home of a lab whose environments to use instead of making them")
    given = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    with started(Parts.of_lab(given.lab) if given.lab else Parts.made()) as (fair, fifo):
        found = figures(fair, fifo)
    found["throughput_ratio"] = found["answers_per_s"][0] / found["answers_per_s"][1], 1.0
    found["alone_ratio"] = found["alone_s"][0] / found["alone_s"][1], 1.0
    missed = [name for name, holds in LIMITS.items() if not holds(found[name][0])]
    print(" ".join(f"{name}={found[name][0]:.3f}" for name in [*LIMITS, "alone_ratio", "failed"]))
    print("\n".join(f"Missed: {name}" for name in missed), end="\n" if missed else "")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
