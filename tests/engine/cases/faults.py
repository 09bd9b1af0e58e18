"""Load, lost connections, restarts and killed engines."""

import asyncio
import os
import signal

from prisma import Json, Prisma, config, errors
from prisma.errors import PrismaError
from tools import ask, client, milliseconds, new_token, raised, unique, until


async def case_five_hundred_queries_at_once(db: Prisma) -> None:
    where = {"token": (await new_token(db)).token}
    async with client("?connection_limit=10&pool_timeout=60") as own:  # LiteLLM's settings
        keys = own.litellm_verificationtoken
        reads = [keys.find_unique(where=where) for _ in range(250)]
        writes = [keys.update(where=where, data={"spend": {"increment": 1}}) for _ in range(250)]
        found = await asyncio.gather(*reads, *writes)
        assert [row.token for row in found] == [where["token"]] * 500
        assert (await keys.find_unique(where=where)).spend == 250


async def case_exhausted_pool_says_so(db: Prisma) -> None:
    async with client("?connection_limit=1&pool_timeout=1") as own, own.tx(timeout=milliseconds(20_000)):
        error = await raised(errors.DataError, own.litellm_config.count())
        assert error.code == "P2024"


async def case_lost_connection_is_an_outage_not_bad_data(db: Prisma) -> None:
    """LiteLLM drops rows that the database refused, and keeps rows it could not deliver: the class decides."""
    async with client("?application_name=victim") as own:
        running = asyncio.create_task(raised(errors.DataError, own.query_raw("SELECT pg_sleep(30)::text")))
        select = "FROM pg_stat_activity WHERE application_name='victim' AND query LIKE '%pg_sleep(30)%'"

        async def is_running() -> bool:
            return (await db.query_raw(f"SELECT count(*)::int n {select}"))[0]["n"] == 1

        await until(is_running)
        await db.query_raw(f"SELECT pg_terminate_backend(pid) {select}")
        error = await running
        assert error.code == "P1001"
        assert "Can't reach database server" in str(error)
        assert await own.query_raw("SELECT 1 AS one") == [{"one": 1}]


async def case_lost_connection_in_a_transaction(db: Prisma) -> None:
    async with client("?application_name=victim2&connection_limit=3") as own:
        managers = [own.tx(timeout=milliseconds(20_000)) for _ in range(3)]
        clients = [await manager.start() for manager in managers]
        await db.query_raw("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='victim2'")
        await raised(PrismaError, clients[0].litellm_config.count())
        await raised(PrismaError, managers[0].rollback())
        await raised(PrismaError, managers[1].commit())
        await raised(PrismaError, managers[2].rollback())
        async with own.tx(timeout=milliseconds(20_000)), own.tx(timeout=milliseconds(20_000)):
            assert await own.query_raw("SELECT 1 AS one") == [{"one": 1}]


async def case_database_restarted(db: Prisma) -> None:
    name = unique()
    await db.litellm_config.create(data={"param_name": name, "param_value": Json(1)})
    await ask("stop")
    error = await raised(errors.DataError, db.litellm_config.count())
    assert "Can't reach database server" in str(error)
    await ask("start")
    assert (await db.litellm_config.find_unique(where={"param_name": name})).param_value == 1


async def case_requests_wait_for_a_restarting_database(db: Prisma) -> None:
    """LiteLLM drops the spend it is about to write when it cannot start a transaction."""
    await ask("stop")

    async def transaction() -> int:
        async with db.tx(max_wait=milliseconds(200), timeout=milliseconds(20_000)) as tx:
            return await tx.litellm_config.count()

    waiting = [asyncio.create_task(db.litellm_config.count()), asyncio.create_task(transaction())]
    done, _ = await asyncio.wait(waiting, timeout=1)
    assert not done
    await ask("start")
    first, second = await asyncio.gather(*waiting)
    assert first == second


async def case_engine_waits_for_a_starting_database(db: Prisma) -> None:
    await ask("stop")
    own = Prisma()
    connecting = asyncio.create_task(own.connect())
    await asyncio.wait({connecting}, timeout=1.5)
    assert not connecting.done()
    await ask("start")
    await connecting
    assert await own.query_raw("SELECT 1 AS one") == [{"one": 1}]
    await own.disconnect()


async def case_engine_killed_and_replaced_as_litellm_does(db: Prisma) -> None:
    from litellm.proxy.db.prisma_client import PrismaWrapper

    wrapper = PrismaWrapper(original_prisma=Prisma(), iam_token_db_auth=False)
    await wrapper.connect()
    name = unique()
    await wrapper.litellm_config.create(data={"param_name": name, "param_value": Json(1)})
    for _ in range(2):
        pid = wrapper._get_engine_pid()
        os.kill(pid, signal.SIGKILL)
        await raised(Exception, wrapper.litellm_config.count())
        assert await wrapper.recreate_prisma_client(os.environ["DATABASE_URL"])
        assert wrapper._get_engine_pid() not in (0, pid)
        assert (await wrapper.litellm_config.find_unique(where={"param_name": name})).param_value == 1
    await wrapper._original_prisma.disconnect()


async def case_requests_in_flight_are_answered_before_the_end(db: Prisma) -> None:
    own = Prisma()
    await own.connect()
    running = asyncio.create_task(own.query_raw("SELECT pg_sleep(1)::text, 7 AS seven"))

    async def is_running() -> bool:
        select = "SELECT count(*)::int n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(1)%'"
        return (await db.query_raw(select))[0]["n"] == 1

    await until(is_running)
    os.kill(own._engine.process.pid, signal.SIGTERM)
    assert (await running)[0]["seven"] == 7
    assert await asyncio.to_thread(own._engine.process.wait, 10) == 0
    own._internal_engine = None


async def case_version_is_the_commit_that_the_client_expects(db: Prisma) -> None:
    engine = await asyncio.create_subprocess_exec(
        os.environ["PRISMA_QUERY_ENGINE_BINARY"], "--version", stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await engine.communicate()
    assert printed.decode() == f"query-engine {config.expected_engine_version}\n"
