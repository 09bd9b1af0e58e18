"""What the cases share."""

import asyncio
import datetime
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from prisma import Prisma

BEYOND_DOUBLE = 2**53 + 1
UTC = datetime.timezone.utc  # noqa: UP017 - the gateway may run on any Python that LiteLLM supports
AWKWARD = 'é😀 "quoted" \\ back\\slash \n\t $type {"a": 1}'


def unique() -> str:
    return uuid.uuid4().hex


def milliseconds(number: int) -> datetime.timedelta:
    return datetime.timedelta(milliseconds=number)


async def raised(kind: type[Exception], attempt: Awaitable[object]) -> Any:
    try:
        value = await attempt
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised, the answer was {value!r}")


async def until(condition: Any, seconds: float = 10) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"not true after {seconds} s"
        await asyncio.sleep(0.05)


async def ask(request: str) -> None:
    """Let the test that started this process do something to the database server."""
    print(json.dumps({"ask": request}), flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    assert answer.strip() == "done", answer


@asynccontextmanager
async def client(parameters: str = "") -> AsyncIterator[Prisma]:
    """A client with an engine of its own."""
    db = Prisma(datasource={"url": os.environ["DATABASE_URL"] + parameters})
    await db.connect()
    try:
        yield db
    finally:
        await db.disconnect(timeout=datetime.timedelta(seconds=10))


async def gauges(db: Prisma) -> dict[str, float]:
    return {gauge.key: gauge.value for gauge in (await db.get_metrics(format="json")).gauges}


async def new_budget(db: Prisma, **data: Any) -> Any:
    return await db.litellm_budgettable.create(data={"created_by": "t", "updated_by": "t", **data})


async def new_token(db: Prisma, **data: Any) -> Any:
    return await db.litellm_verificationtoken.create(data={"token": unique(), **data})
