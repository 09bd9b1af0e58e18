"""Records: create, read, update, delete, and what finds them."""

import datetime

from prisma import Json, Prisma
from tools import BEYOND_DOUBLE, UTC, new_budget, new_token, unique


async def case_create_read_update_delete(db: Prisma) -> None:
    name = unique()
    made = await db.litellm_config.create(data={"param_name": name, "param_value": Json({"a": 1})})
    assert made.param_name == name
    found = await db.litellm_config.find_unique(where={"param_name": name})
    assert found.param_value == {"a": 1}
    changed = await db.litellm_config.update(where={"param_name": name}, data={"param_value": Json([2])})
    assert changed.param_value == [2]
    assert (await db.litellm_config.delete(where={"param_name": name})).param_value == [2]
    assert await db.litellm_config.find_unique(where={"param_name": name}) is None


async def case_missing_record_is_none_not_an_error(db: Prisma) -> None:
    where = {"param_name": unique()}
    assert await db.litellm_config.update(where=where, data={"param_value": Json({})}) is None
    assert await db.litellm_config.delete(where=where) is None
    assert await db.litellm_config.find_first(where=where) is None


async def case_upsert_creates_then_updates(db: Prisma) -> None:
    key = unique()
    data = {"create": {"budget_id": key, "created_by": "t", "updated_by": "t"}, "update": {"max_budget": 7.5}}
    assert (await db.litellm_budgettable.upsert(where={"budget_id": key}, data=data)).max_budget is None
    assert (await db.litellm_budgettable.upsert(where={"budget_id": key}, data=data)).max_budget == 7.5


async def case_create_many_skips_duplicates(db: Prisma) -> None:
    rows = [{"budget_id": unique(), "created_by": "t", "updated_by": "t"} for _ in range(3)]
    assert await db.litellm_budgettable.create_many(data=rows[:2]) == 2
    assert await db.litellm_budgettable.create_many(data=rows, skip_duplicates=True) == 1


async def case_update_many_and_delete_many_count(db: Prisma) -> None:
    mark = unique()
    for _ in range(3):
        await new_budget(db, updated_by=mark)
    assert await db.litellm_budgettable.update_many(where={"updated_by": mark}, data={"max_budget": 1}) == 3
    assert await db.litellm_budgettable.delete_many(where={"updated_by": mark, "max_budget": 1}) == 3
    assert await db.litellm_budgettable.count(where={"updated_by": mark}) == 0


async def case_defaults_come_from_schema_and_database(db: Prisma) -> None:
    token = await new_token(db)
    assert (token.spend, token.models, token.metadata, token.blocked) == (0.0, [], {}, None)
    lens = await db.litellm_lens.create(data={"id": unique(), "data": Json({})})
    assert lens.due_at == datetime.datetime(1970, 1, 1, tzinfo=UTC)


async def case_compound_key_finds_and_updates(db: Prisma) -> None:
    user, team = unique(), unique()
    await db.litellm_teammembership.create(data={"user_id": user, "team_id": team})
    where = {"user_id_team_id": {"user_id": user, "team_id": team}}
    await db.litellm_teammembership.update(where=where, data={"spend": {"increment": 1.5}})
    assert (await db.litellm_teammembership.find_unique(where=where)).spend == 1.5


async def case_filters_combine(db: Prisma) -> None:
    mark = unique()
    for number in range(4):
        await new_budget(db, updated_by=f"{mark}-{'Odd' if number % 2 else 'Even'}", max_budget=number)
    count = db.litellm_budgettable.count
    base = {"updated_by": {"startswith": mark}}
    assert await count(where={**base, "max_budget": {"gt": 0, "lte": 2}}) == 2
    assert await count(where={**base, "max_budget": {"in": [0, 3, 9]}}) == 2
    assert await count(where={"updated_by": {"contains": f"{mark}-oDD".upper(), "mode": "insensitive"}}) == 2
    assert await count(where={**base, "OR": [{"max_budget": 0}, {"NOT": [{"max_budget": {"lt": 3}}]}]}) == 2
    assert await count(where={**base, "max_budget": None}) == 0


async def case_order_skip_and_take(db: Prisma) -> None:
    mark = unique()
    for number in (2, 0, 3, 1):
        await new_budget(db, updated_by=mark, max_budget=number)
    order = [{"updated_by": "asc"}, {"max_budget": "desc"}]
    found = await db.litellm_budgettable.find_many(where={"updated_by": mark}, order=order, skip=1, take=2)
    assert [row.max_budget for row in found] == [2, 1]


async def case_group_by_sums_and_counts(db: Prisma) -> None:
    mark = unique()
    for number in (1, 2, 4):
        await new_budget(db, updated_by=mark, max_budget=number, tpm_limit=BEYOND_DOUBLE)
    groups = await db.litellm_budgettable.group_by(
        by=["updated_by"], where={"updated_by": mark}, sum={"max_budget": True, "tpm_limit": True}, count=True
    )
    assert [(group["_sum"]["max_budget"], group["_count"]["_all"]) for group in groups] == [(7, 3)]
    assert int(groups[0]["_sum"]["tpm_limit"]) == 3 * BEYOND_DOUBLE


async def case_include_follows_relations(db: Prisma) -> None:
    budget = await new_budget(db, max_budget=9, model_max_budget=Json({"m": "x"}))
    token = await new_token(db, budget_id=budget.budget_id)
    found = await db.litellm_verificationtoken.find_unique(
        where={"token": token.token}, include={"litellm_budget_table": True}
    )
    assert found.litellm_budget_table.model_max_budget == {"m": "x"}
    back = await db.litellm_budgettable.find_unique(
        where={"budget_id": budget.budget_id}, include={"keys": {"where": {"token": token.token}, "take": 1}}
    )
    assert [key.token for key in back.keys] == [token.token]


async def case_relations_are_connected_on_create(db: Prisma) -> None:
    budget = await new_budget(db)
    token = await new_token(db, litellm_budget_table={"connect": {"budget_id": budget.budget_id}})
    assert token.budget_id == budget.budget_id
    assert (
        await db.litellm_verificationtoken.count(
            where={"litellm_budget_table": {"is": {"budget_id": budget.budget_id}}}
        )
        == 1
    )
