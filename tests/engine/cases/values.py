"""Values of every kind come back as they were stored."""

import base64
import datetime
import json
import math

from prisma import Base64, Json, Prisma, errors
from tools import AWKWARD, BEYOND_DOUBLE, UTC, new_budget, new_token, raised, unique


async def case_json_keeps_every_string(db: Prisma) -> None:
    value = {AWKWARD: [AWKWARD, {"$type": "BigInt", "value": "3"}, {"prisma__type": "int"}], "n": [1, 2.5, None, True]}
    name = unique()
    await db.litellm_config.create(data={"param_name": name, "param_value": Json(value)})
    assert (await db.litellm_config.find_unique(where={"param_name": name})).param_value == value


async def case_json_scalars_stay_json(db: Prisma) -> None:
    for value in ("text", "null", "3", "", 3, 2.5, True, [], {}):
        token = await new_token(db, metadata=Json(value))
        stored = (
            await db.query_raw('SELECT metadata::text t FROM "LiteLLM_VerificationToken" WHERE token=$1', token.token)
        )[0]
        assert json.loads(stored["t"]) == value, value


async def case_json_field_named_like_an_argument(db: Prisma) -> None:
    """`data` is both the argument of create and a Json column of these models."""
    key = unique()
    made = await db.litellm_lens.create(data={"id": key, "data": Json({"a": "b"})})
    assert made.data == {"a": "b"}
    changed = await db.litellm_lens.update(where={"id": key}, data={"data": Json("text"), "version": {"increment": 1}})
    assert (changed.data, changed.version) == ("text", 1)
    event = {"event_type": "e", "step_name": "s", "sequence_number": 1, "data": Json({"x": "y"})}
    run = await db.litellm_workflowrun.create(
        data={"workflow_type": "w", "events": {"create": [event]}}, include={"events": True}
    )
    assert (run.events[0].data, run.events[0].step_name) == ({"x": "y"}, "s")


async def case_json_equals_filter(db: Prisma) -> None:
    value = {"mark": unique(), "s": AWKWARD, "t": {"$type": "x", "value": 1}}
    await new_token(db, metadata=Json(value))
    assert await db.litellm_verificationtoken.count(where={"metadata": {"equals": Json(value)}}) == 1


async def case_json_path_filter(db: Prisma) -> None:
    mark = unique()
    await new_token(db, metadata=Json({"deep": {"mark": mark}, "list": [mark]}))
    where = {"metadata": {"path": ["deep", "mark"], "equals": Json(mark)}}
    assert await db.litellm_verificationtoken.count(where=where) == 1
    where = {"metadata": {"path": ["deep", "mark"], "string_contains": mark[3:9]}}
    assert await db.litellm_verificationtoken.count(where=where) == 1
    where = {"metadata": {"path": ["list"], "array_contains": Json([mark])}}
    assert await db.litellm_verificationtoken.count(where=where) == 1


async def case_text_keeps_every_character(db: Prisma) -> None:
    alias = AWKWARD + unique()
    await new_token(db, key_alias=alias)
    assert (await db.litellm_verificationtoken.find_first(where={"key_alias": alias})).key_alias == alias


async def case_null_byte_is_refused_by_the_database(db: Prisma) -> None:
    """LiteLLM tells a refused row from an outage by the exact class, and drops only the former."""
    error = await raised(errors.DataError, new_token(db, key_alias="a\x00b"))
    assert type(error) is errors.DataError, type(error)


async def case_bigint_beyond_double_precision(db: Prisma) -> None:
    budget = await new_budget(db, tpm_limit=BEYOND_DOUBLE, rpm_limit=-BEYOND_DOUBLE)
    assert (budget.tpm_limit, budget.rpm_limit) == (BEYOND_DOUBLE, -BEYOND_DOUBLE)
    where = {"budget_id": budget.budget_id, "tpm_limit": {"gte": BEYOND_DOUBLE}}
    changed = await db.litellm_budgettable.update(
        where={"budget_id": budget.budget_id}, data={"tpm_limit": {"increment": 1}}
    )
    assert changed.tpm_limit == BEYOND_DOUBLE + 1
    assert await db.litellm_budgettable.count(where=where) == 1
    row = (await db.query_raw('SELECT tpm_limit FROM "LiteLLM_BudgetTable" WHERE budget_id=$1', budget.budget_id))[0]
    assert int(row["tpm_limit"]) == BEYOND_DOUBLE + 1


async def case_floats_keep_fifteen_digits(db: Prisma) -> None:
    """The engine computes with 16 significant digits, so up to 15 survive every way."""
    for number in (0.1, 1e-7, 2.00000000000001e-05, 1.23456789012345e300, 123456789.012345, 0.0, -1.5):
        assert (await new_budget(db, max_budget=number)).max_budget == number


async def case_raw_decimals_keep_every_digit(db: Prisma) -> None:
    """Looked at before the client makes a float of it."""
    sql = {"query": "SELECT 12345678901234567890.123456789::numeric AS n", "parameters": "[]"}
    answer = await db._execute(method="query_raw", arguments=sql)
    assert answer["data"]["result"]["rows"] == [["12345678901234567890.123456789"]]


async def case_increments_add_up(db: Prisma) -> None:
    token = await new_token(db, spend=1.0)
    for _ in range(10):
        await db.litellm_verificationtoken.update(where={"token": token.token}, data={"spend": {"increment": 1e-7}})
    found = await db.litellm_verificationtoken.find_unique(where={"token": token.token})
    assert math.isclose(found.spend, 1 + 1e-6, rel_tol=1e-14)


async def case_datetimes_keep_zone_and_milliseconds(db: Prisma) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone(datetime.timedelta(hours=5.5)))
    budget = await new_budget(db, budget_reset_at=moment)
    assert budget.budget_reset_at == moment
    where = {"budget_id": budget.budget_id, "budget_reset_at": {"lte": moment}}
    assert await db.litellm_budgettable.count(where=where) == 1
    text = 'SELECT budget_reset_at::text t FROM "LiteLLM_BudgetTable" WHERE budget_id=$1'
    assert (await db.query_raw(text, budget.budget_id))[0]["t"] == "2026-01-01 21:34:05.678"


async def case_bytes_come_back_unchanged(db: Prisma) -> None:
    content = bytes(range(256))
    data = {"file_content": Base64(base64.b64encode(content)), "display_title": "t"}
    made = await db.litellm_skillstable.create(data=data)
    found = await db.litellm_skillstable.find_unique(where={"skill_id": made.skill_id})
    assert base64.b64decode(str(found.file_content)) == content


async def case_enums_are_stored_and_filtered(db: Prisma) -> None:
    data = {"pod_id": unique(), "status": "ACTIVE", "ttl": datetime.datetime.now(UTC)}
    made = await db.litellm_cronjob.create(data=data)
    assert made.status == "ACTIVE"
    assert await db.litellm_cronjob.count(where={"pod_id": data["pod_id"], "status": "ACTIVE"}) == 1


async def case_lists_are_replaced_pushed_and_searched(db: Prisma) -> None:
    token = await new_token(db, models=["a", 'b"c'])
    where = {"token": token.token}
    assert (await db.litellm_verificationtoken.update(where=where, data={"models": {"push": ["d"]}})).models == [
        "a",
        'b"c',
        "d",
    ]
    assert await db.litellm_verificationtoken.count(where={**where, "models": {"has": 'b"c'}}) == 1
    assert (await db.litellm_verificationtoken.update(where=where, data={"models": {"set": []}})).models == []
