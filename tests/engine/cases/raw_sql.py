"""SQL of the caller's own, and the classes of errors."""

import json

from prisma import Prisma, errors
from tools import AWKWARD, BEYOND_DOUBLE, client, gauges, new_budget, new_token, raised, unique


async def case_raw_query_returns_rich_types(db: Prisma) -> None:
    select = (
        "SELECT $1::int i, $2::text[] a, $3::jsonb j, $4::bool b, $5::float8 f, NULL::text x, '{\"a\":1}'::json k,"
        " ARRAY[1,2]::bigint[] n, '2026-01-02 03:04:05'::timestamp t, INTERVAL '1 day 2 hours' v"
    )
    words = ["a", 'b"c,{}']
    row = (await db.query_raw(select, 5, words, json.dumps({"k": [1, AWKWARD]}), True, 0.1))[0]
    assert (row["i"], row["a"], row["b"], row["f"], row["x"]) == (5, words, True, 0.1, None)
    assert (row["j"], row["k"]) == ({"k": [1, AWKWARD]}, {"a": 1})
    assert [int(number) for number in row["n"]] == [1, 2]
    assert str(row["t"]).startswith("2026-01-02T03:04:05")
    assert row["v"] == "1 day 02:00:00"


async def case_raw_query_of_catalogue_types(db: Prisma) -> None:
    row = (
        await db.query_raw(
            "SELECT array_agg(relname) names, to_regclass($1) r, \"char\"(65) c, pg_typeof(1) t, 'x'::name n"
            " FROM pg_class WHERE relname = $2",
            '"LiteLLM_Config"', "LiteLLM_Config",
        )
    )[0]  # fmt: skip
    assert row == {"names": ["LiteLLM_Config"], "r": '"LiteLLM_Config"', "c": "A", "t": "integer", "n": "x"}


async def case_raw_query_of_void_function(db: Prisma) -> None:
    assert len(await db.query_raw("SELECT pg_advisory_xact_lock(42)")) == 1


async def case_raw_query_without_rows(db: Prisma) -> None:
    assert await db.query_raw("SELECT 1 WHERE false") == []
    assert await db.query_first("SELECT 1 WHERE false") is None


async def case_raw_execute_counts_rows(db: Prisma) -> None:
    token = await new_token(db)
    update = 'UPDATE "LiteLLM_VerificationToken" SET spend=$1 WHERE token=$2'
    assert await db.execute_raw(update, 3.5, token.token) == 1
    assert await db.execute_raw(update, 3.5, unique()) == 0
    assert (await db.litellm_verificationtoken.find_unique(where={"token": token.token})).spend == 3.5


async def case_raw_statements_take_bigint_and_null(db: Prisma) -> None:
    budget = await new_budget(db)
    update = 'UPDATE "LiteLLM_BudgetTable" SET tpm_limit=$1::bigint, max_budget=$2::float8 WHERE budget_id=$3'
    assert await db.execute_raw(update, BEYOND_DOUBLE, None, budget.budget_id) == 1
    found = await db.litellm_budgettable.find_unique(where={"budget_id": budget.budget_id})
    assert (found.tpm_limit, found.max_budget) == (BEYOND_DOUBLE, None)


async def case_error_unique_violation(db: Prisma) -> None:
    token = await new_token(db)
    error = await raised(errors.UniqueViolationError, new_token(db, token=token.token))
    assert error.code == "P2002"
    assert "token" in str(error)


async def case_error_foreign_key_violation(db: Prisma) -> None:
    await raised(errors.ForeignKeyViolationError, new_token(db, budget_id=unique()))


async def case_error_record_not_found(db: Prisma) -> None:
    await raised(errors.RecordNotFoundError, db.litellm_config.find_unique_or_raise(where={"param_name": unique()}))
    await raised(errors.RecordNotFoundError, db.litellm_config.find_first_or_raise(where={"param_name": unique()}))


async def case_error_unknown_field(db: Prisma) -> None:
    await raised(errors.FieldNotFoundError, db.litellm_config.find_first(where={"nosuch": "x"}))


async def case_error_missing_value(db: Prisma) -> None:
    await raised(errors.MissingRequiredValueError, db.litellm_lens.create(data={"id": unique()}))


async def case_error_in_raw_sql(db: Prisma) -> None:
    error = await raised(errors.RawQueryError, db.query_raw("SELECT nosuch"))
    assert error.meta["code"] == "42703"
    assert "nosuch" in str(error)
    await raised(errors.RawQueryError, db.execute_raw("not sql"))


async def case_error_statement_and_lock_timeouts_carry_their_code(db: Prisma) -> None:
    async with db.tx() as tx:
        await tx.execute_raw("SET LOCAL statement_timeout = 50")
        error = await raised(errors.RawQueryError, tx.query_raw("SELECT pg_sleep(5)::text"))
    assert error.meta["code"] == "57014"


async def case_error_table_not_found(db: Prisma) -> None:
    await db.execute_raw('ALTER TABLE "LiteLLM_InvitationLink" RENAME TO away')
    try:
        await raised(errors.TableNotFoundError, db.litellm_invitationlink.count())
    finally:
        await db.execute_raw('ALTER TABLE away RENAME TO "LiteLLM_InvitationLink"')


async def case_errors_do_not_pile_up_or_spoil_connections(db: Prisma) -> None:
    async with client("?connection_limit=2") as own:
        for _ in range(50):
            await raised(errors.RawQueryError, own.query_raw("SELECT nosuch"))
        assert await own.query_raw("SELECT 1 AS one") == [{"one": 1}]
        assert (await gauges(own))["prisma_pool_connections_busy"] == 0
