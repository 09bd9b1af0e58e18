"""The client: chat completions of one conversation, plain and streamed, as many at a time as wanted."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from benchmarks.hub.double import MODEL

PIECE = re.compile(rb'"content": ?"(\d+) "')
STALL_S = 0.1
PATIENCE_S = 120.0
# A question after some talk, about as long as what the double says of the prompt.
CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant of a lab. Answer in short sentences."},
    {"role": "user", "content": "Which plot shows how the use of a model changes over a week? " * 6},
    {"role": "assistant", "content": "A heat map of weekdays and hours shows it best, since both repeat. " * 8},
    {"role": "user", "content": "Write the code for it with pandas and matplotlib, and explain each line. " * 4},
]


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        url: Address of the API, ends in `/v1`.
        key: Key for it.
    """

    url: str
    key: str


@dataclass
class Answers:
    """What the client saw.

    Attributes:
        seconds: Of each plain answer.
        first_s: Seconds of each stream from the request to the first piece.
        pieces_s: Seconds that each piece was under way.
        gaps_s: Seconds between two pieces of a stream, the greatest one of each stream.
    """

    seconds: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    pieces_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)

    def stalled(self, interval_s: float) -> int:
        """Streams that paused for more than 100 ms beyond the double's interval."""
        return sum(gap > interval_s + STALL_S for gap in self.gaps_s)


class AnswerError(Exception):
    """An answer was refused or not whole."""


@asynccontextmanager
async def client(target: Target) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that keeps its connections."""
    headers = {"Authorization": f"Bearer {target.key}"}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        yield session


async def plain(target: Target, requests: int, workers: int, pieces: int) -> Answers:
    """Ask for plain answers.

    Args:
        target: Where.
        requests: How many in all.
        workers: How many at a time.
        pieces: Length of each answer.
    """
    answers = Answers()
    body = {"model": MODEL, "messages": CONVERSATION, "max_tokens": pieces}
    left = iter(range(requests))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in left:
            begin = time.perf_counter()
            async with session.post(f"{target.url}/chat/completions", json=body) as response:
                text = await response.text()
            if response.status != 200:
                raise AnswerError(f"{response.status}: {text[:500]}")
            answers.seconds.append(time.perf_counter() - begin)

    async with client(target) as session:
        await asyncio.gather(*(work(session) for _ in range(workers)))
    return answers


async def streamed(target: Target, streams: int, workers: int, pieces: int, interval_s: float) -> Answers:
    """Ask for streamed answers; the workers' first starts are spread over the time that one answer takes.

    Args:
        target: Where.
        streams: How many in all.
        workers: How many at a time.
        pieces: Length of each answer.
        interval_s: Seconds between two pieces.
    """
    answers = Answers()
    body = {
        "model": MODEL,
        "messages": CONVERSATION,
        "max_tokens": pieces,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    left = iter(range(streams))

    async def work(session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(number / workers * pieces * interval_s)
        for _ in left:
            begin = time.perf_counter()
            async with session.post(f"{target.url}/chat/completions", json=body) as response:
                if response.status != 200:
                    raise AnswerError(f"{response.status}: {(await response.text())[:500]}")
                await _read(response.content, begin, pieces, answers)

    async with client(target) as session:
        await asyncio.gather(*(work(session, number) for number in range(workers)))
    return answers


async def _read(content: aiohttp.StreamReader, begin: float, pieces: int, answers: Answers) -> None:
    times: list[float] = []
    done = False
    async for line in content:
        found = PIECE.search(line)
        if found:
            now = time.perf_counter()
            answers.pieces_s.append(now - int(found[1]) / 1e9)
            times.append(now)
        done = done or line.startswith(b"data: [DONE]")
    if len(times) != pieces or not done:
        raise AnswerError(f"{len(times)} of {pieces} pieces came, the end {'too' if done else 'did not'}")
    answers.first_s.append(times[0] - begin)
    answers.gaps_s.append(max((later - sooner for sooner, later in itertools.pairwise(times)), default=0.0))


def highest(holds: Callable[[int], bool], start: int, factor: float, most: int) -> int:
    """Find the highest number that holds, to an eighth of it, by growing steps and then bisection.

    Args:
        holds: Whether a number does; taken for true below one where it is.
        start: Where to begin.
        factor: How much to go up or down until the limit lies in between.
        most: Where to end.

    Returns:
        0 when not even 1 holds.
    """
    low, high = 0, most + 1
    number = min(start, most)
    while low < most and high > 1:
        if holds(number):
            low = number
            if high <= most:
                break
            number = min(max(low + 1, round(low * factor)), most)
        else:
            high = number
            if low:
                break
            number = max(1, min(high - 1, round(high / factor)))
    while high - low > max(1, low // 8):
        number = (low + high) // 2
        low, high = (number, high) if holds(number) else (low, number)
    return low
