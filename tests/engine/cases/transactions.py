"""Batches and interactive transactions."""

import asyncio
import datetime

from prisma import Json, Prisma, errors
from prisma.errors import PrismaError
from tools import AWKWARD, UTC, client, gauges, milliseconds, new_token, raised, unique, until


async def case_batch_applies_all(db: Prisma) -> None:
    token = await new_token(db)
    async with db.batch_() as batch:
        batch.litellm_verificationtoken.update(where={"token": token.token}, data={"spend": {"increment": 1e-7}})
        batch.litellm_verificationtoken.update_many(where={"token": token.token}, data={"spend": {"increment": 2}})
        batch.execute_raw('UPDATE "LiteLLM_VerificationToken" SET key_alias=$1 WHERE token=$2', AWKWARD, token.token)
    found = await db.litellm_verificationtoken.find_unique(where={"token": token.token})
    assert (found.spend, found.key_alias) == (2 + 1e-7, AWKWARD)


async def case_batch_rolls_back_whole(db: Prisma) -> None:
    token = await new_token(db)

    async def failing_batch() -> None:
        async with db.batch_() as batch:
            batch.litellm_verificationtoken.update_many(where={"token": token.token}, data={"spend": 99})
            batch.litellm_verificationtoken.create(data={"token": token.token})

    await raised(errors.UniqueViolationError, failing_batch())
    assert (await db.litellm_verificationtoken.find_unique(where={"token": token.token})).spend == 0


async def case_batch_inside_a_transaction(db: Prisma) -> None:
    token = await new_token(db)
    async with db.tx() as tx, tx.batch_() as batch:
        batch.litellm_verificationtoken.update(where={"token": token.token}, data={"spend": 6})
        batch.litellm_verificationtoken.update(where={"token": token.token}, data={"spend": {"increment": 1}})
    assert (await db.litellm_verificationtoken.find_unique(where={"token": token.token})).spend == 7


async def case_large_batch(db: Prisma) -> None:
    now = datetime.datetime.now(UTC)
    row = {"call_type": "c", "startTime": now, "endTime": now, "metadata": Json({"text": AWKWARD * 20})}
    rows = [{"request_id": unique(), **row} for _ in range(500)]
    assert await db.litellm_spendlogs.create_many(data=rows) == 500
    assert await db.litellm_spendlogs.count(where={"request_id": {"in": [row["request_id"] for row in rows]}}) == 500


async def case_transaction_commits_and_isolates(db: Prisma) -> None:
    token = await new_token(db)
    where = {"token": token.token}
    async with db.tx() as tx:
        await tx.litellm_verificationtoken.update(where=where, data={"spend": 5})
        assert (await tx.litellm_verificationtoken.find_unique(where=where)).spend == 5
        assert (await db.litellm_verificationtoken.find_unique(where=where)).spend == 0
    assert (await db.litellm_verificationtoken.find_unique(where=where)).spend == 5


async def case_transaction_rolls_back_on_exception(db: Prisma) -> None:
    key = unique()

    async def failing() -> None:
        async with db.tx() as tx:
            await new_token(tx, token=key)
            raise ValueError

    await raised(ValueError, failing())
    assert await db.litellm_verificationtoken.find_unique(where={"token": key}) is None


async def case_transaction_expires(db: Prisma) -> None:
    key = unique()
    manager = db.tx(timeout=milliseconds(200))
    tx = await manager.start()
    await new_token(tx, token=key)

    async def is_over() -> bool:
        try:
            await tx.litellm_verificationtoken.count()
        except errors.TransactionExpiredError:
            return True
        return False

    await until(is_over)
    await raised(PrismaError, manager.commit())
    assert await db.litellm_verificationtoken.find_unique(where={"token": key}) is None


async def case_unknown_transaction_does_not_end_the_engine(db: Prisma) -> None:
    manager = db.tx()
    tx = await manager.start()
    await manager.commit()
    await raised(errors.TransactionExpiredError, tx.litellm_config.count())
    tx._tx_id = "nosuch"
    await raised(errors.TransactionExpiredError, tx.litellm_config.count())
    assert await db.query_raw("SELECT 1 AS one") == [{"one": 1}]


async def case_transaction_waits_no_longer_than_asked(db: Prisma) -> None:
    async with client("?connection_limit=1&pool_timeout=30") as own, own.tx(timeout=milliseconds(20_000)):
        started = asyncio.get_running_loop().time()
        await raised(PrismaError, own.tx(max_wait=milliseconds(200)).start())
        assert asyncio.get_running_loop().time() - started < 10


async def case_connections_come_back_after_a_wait_in_vain(db: Prisma) -> None:
    async with client("?connection_limit=2&pool_timeout=30") as own:
        async with own.tx(timeout=milliseconds(20_000)), own.tx(timeout=milliseconds(20_000)):
            for _ in range(3):
                await raised(PrismaError, own.tx(max_wait=milliseconds(50)).start())

        async def is_idle() -> bool:
            return (await gauges(own))["prisma_pool_connections_busy"] == 0

        await until(is_idle)
        idle_in_transaction = "SELECT count(*)::int n FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert (await db.query_raw(idle_in_transaction))[0]["n"] == 0
