"""The writer applies each entry exactly once, and an entry that the database refuses holds up nobody."""

from __future__ import annotations

import itertools
import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from litellm_hub.gateway.journal import Journal
from litellm_hub.gateway.writer import Writer
from tests.support.lab import wait_until
from tests.support.postgres import ScratchPostgres
from tests.support.usage_database import Database, make_database

pytestmark = pytest.mark.lab

SECONDS = 10
COST = 0.25
COLUMNS = frozenset(
    {
        *("request_id", "call_type", "api_key", "spend", "total_tokens", "prompt_tokens", "completion_tokens"),
        *("startTime", "endTime", "model", "user", "team_id", "end_user", "session_id", "request_tags", "metadata"),
        *("status", "request_duration_ms", "litellm_call_id", "a_column_of_tomorrow"),
    }
)


def entry(request_id: str = "", *, windows: list[Any] | None = None, **row: Any) -> dict[str, Any]:
    """An entry as the gateway makes it, of the key `key`."""
    base = {"request_id": request_id, "call_type": "acompletion", "api_key": "key", "spend": COST, "model": "m"}
    base |= {"total_tokens": 3, "prompt_tokens": 2, "completion_tokens": 1, "user": "user", "team_id": "team"}
    base |= {"startTime": "2026-01-02T03:04:05", "endTime": "2026-01-02T03:04:06", "status": "success"}
    base |= {"end_user": "end", "request_tags": ["a", "b"], "request_duration_ms": 1000, "metadata": {}}
    return {"id": str(uuid.uuid4()), "row": base | row, "endpoint": "/x", "project": None, "windows": windows or []}


class Bench:
    """A journal and a writer before a database that holds a key, a user and a team with that user as a member."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.journal = Journal(folder)
        self.writer = Writer(self.journal, database.owner, COLUMNS)

    def put(self, *entries: dict[str, Any]) -> None:
        for waiting in [self.journal.append(entry) for entry in entries]:
            waiting.result(SECONDS)

    def apply(self, *entries: dict[str, Any]) -> None:
        self.put(*entries)
        self.writer.catch_up()

    def restart(self) -> None:
        """Go on as a process does after a kill."""
        (self.folder / "lock").unlink()
        self.journal = Journal(self.folder)
        self.writer = Writer(self.journal, self.database.owner, COLUMNS)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.database.owner)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def ids(self) -> list[str]:
        return [row[0] for row in self.query('SELECT request_id FROM "LiteLLM_SpendLogs" ORDER BY 1')]

    def spend(self) -> set[float]:
        """What everybody who pays has paid; one number when all agree."""
        tables = {
            "VerificationToken": "spend", "UserTable": "spend", "TeamTable": "spend", "EndUserTable": "spend",
            "TeamMembership": "total_spend", "DailyUserSpend": "spend", "DailyTeamSpend": "spend",
            "DailyEndUserSpend": "spend", "SpendLogs": "spend",
        }  # fmt: skip
        return {self.query(f'SELECT sum({name}) FROM "LiteLLM_{table}"')[0][0] for table, name in tables.items()}

    def rejected(self) -> list[dict[str, Any]]:
        file = self.folder / "rejected.jsonl"
        return [json.loads(line[9:]) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def database(scratch_postgres: ScratchPostgres, gateway_env: Any) -> Database:
    return make_database(scratch_postgres, gateway_env, "usage_writer")


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(database, tmp_path / "journal")
    tables = ("VerificationToken", "UserTable", "TeamTable", "EndUserTable", "TeamMembership", "DailyUserSpend")
    more = ("DailyTeamSpend", "DailyEndUserSpend", "DailyTagSpend", "SpendLogs", "BudgetWindowSpend")
    made.query(
        "TRUNCATE lab.spend_journal, " + ", ".join(f'"LiteLLM_{table}"' for table in (*tables, *more)) + " CASCADE"
    )
    made.query("INSERT INTO \"LiteLLM_VerificationToken\" (token) VALUES ('key')")
    made.query("INSERT INTO \"LiteLLM_UserTable\" (user_id) VALUES ('user')")
    members = json.dumps([{"user_id": "user", "role": "user"}])
    made.query(f"INSERT INTO \"LiteLLM_TeamTable\" (team_id, members_with_roles) VALUES ('team', '{members}')")
    yield made
    made.journal.close()


def test_row_and_spend_of_all_who_pay_come_together(bench: Bench) -> None:
    bench.apply(entry("a"), entry("b"), entry("c", status="failure", spend=0.0))
    assert bench.ids() == ["a", "b", "c"]
    assert bench.spend() == {2 * COST}
    [day] = bench.query(
        'SELECT date, endpoint, api_requests, successful_requests, failed_requests, prompt_tokens, timed_requests'
        ' FROM "LiteLLM_DailyUserSpend"'
    )  # fmt: skip
    assert day == ("2026-01-02", "/x", 3, 2, 1, 6, 2)
    assert bench.query('SELECT tag, spend FROM "LiteLLM_DailyTagSpend" ORDER BY 1') == [("a", 0.5), ("b", 0.5)]
    assert bench.query('SELECT last_active IS NOT NULL FROM "LiteLLM_VerificationToken"') == [(True,)]


def test_an_entry_that_is_read_again_is_applied_once(bench: Bench) -> None:
    bench.put(*(entry(str(number)) for number in range(5)))
    Writer(bench.journal, bench.database.owner, COLUMNS)._execute(  # applied, but killed before it was settled
        bench.journal.read(bench.journal.waiting()[:3]), bench.journal.waiting()[:3]
    )
    bench.restart()
    assert len(bench.journal.waiting()) == 5
    bench.writer.catch_up()
    assert bench.ids() == list("01234")
    assert bench.spend() == {5 * COST}


def test_ids_that_collide_or_are_empty_get_the_entrys_own(bench: Bench) -> None:
    for _ in range(3):
        bench.apply(entry("same"), entry("same"), entry(""), entry("None"))
    ids = bench.ids()
    assert len(set(ids)) == 12
    assert sum(name.startswith("same~") for name in ids) == 5
    assert bench.spend() == {12 * COST}


REFUSED = {
    "an index row that is too large": {"session_id": "".join(uuid.uuid4().hex for _ in range(200))},
    "a number out of range": {"prompt_tokens": 2**40},
    "a date that is none": {"startTime": "yesterday-ish"},
    "a missing value": {"call_type": None},
    "characters that nothing stores": {"model": "a\x00b"},
    "tags that are no list": {"request_tags": {"a": 1}},
}


def test_entries_the_database_refuses_are_set_aside_alone(bench: Bench) -> None:
    refused = [entry(name, **row) for name, row in REFUSED.items()]
    good = [entry(str(number)) for number in range(4)]
    bench.apply(*itertools.chain.from_iterable(itertools.zip_longest(good, refused, fillvalue=entry("more"))))
    bench.apply(entry("later"))
    assert {found["entry"]["row"]["request_id"] for found in bench.rejected()} == set(REFUSED)
    assert all(found["reason"] for found in bench.rejected())
    assert {"0", "1", "2", "3", "later"} <= set(bench.ids())
    assert bench.journal.waiting() == []
    assert bench.writer.state() == (0, 0.0, len(REFUSED), "")


def test_an_entry_that_takes_too_long_holds_up_nobody(bench: Bench) -> None:
    """As 20,000 tags did: the time-out is the entry's own fault, the database answers others."""
    bench.query(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.model = 'slow' THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END $$;"
        ' CREATE TRIGGER slow BEFORE INSERT ON "LiteLLM_SpendLogs" FOR EACH ROW EXECUTE FUNCTION slow()'
    )
    try:
        bench.writer._connection().execute("SET statement_timeout = '500ms'")
        bench.apply(entry("a"), entry("b", model="slow"), entry("c"))
    finally:
        bench.query('DROP TRIGGER slow ON "LiteLLM_SpendLogs"')
    assert bench.ids() == ["a", "c"]
    assert [found["reason"][:5] for found in bench.rejected()] == ["57014"]


def test_entries_that_cannot_be_read_hold_up_nobody(bench: Bench) -> None:
    """One whose file is away waits, one whose line was changed is set aside."""
    for name in ("away", "changed"):
        bench.put(entry(name))
        bench.restart()
    away, changed = sorted(bench.folder.glob("*.journal"))
    hidden = away.rename(away.with_suffix(".hidden"))
    changed.write_bytes(changed.read_bytes().replace(b"changed", b"CHANGED"))
    bench.put(entry("a"))
    assert bench.writer._turn()
    assert bench.ids() == ["a"]
    assert len(bench.rejected()) == 1
    hidden.rename(away)
    bench.writer._turn()
    assert bench.ids() == ["a", "away"]


def test_entries_that_an_earlier_version_left_are_applied(bench: Bench) -> None:
    row = entry("old")["row"] | {"metadata": "{}", "request_tags": '["a"]'}
    bench.apply({"id": str(uuid.uuid4()), "row": True, "payload": row, "spend": {"response_cost": COST}})
    assert bench.ids() == ["old"]
    assert bench.spend() == {COST}


def test_rows_in_use_make_an_entry_wait_and_are_no_reason_to_set_it_aside(bench: Bench) -> None:
    holder = psycopg2.connect(bench.database.owner)
    holder.cursor().execute("SELECT FROM \"LiteLLM_VerificationToken\" WHERE token = 'key' FOR UPDATE")
    bench.writer._connection().execute("SET lock_timeout = '100ms'")
    bench.put(entry("a"))
    assert not bench.writer._turn()
    assert len(bench.journal.waiting()) == 1
    holder.rollback()
    holder.close()
    bench.writer.catch_up()
    assert bench.ids() == ["a"]
    assert bench.rejected() == []


def test_a_database_that_is_away_loses_nothing(bench: Bench, scratch_postgres: ScratchPostgres) -> None:
    bench.writer.start()
    bench.put(entry("a"))
    wait_until(lambda: bench.ids() == ["a"], SECONDS, "the first row")
    scratch_postgres.stop()
    bench.put(entry("b"))
    wait_until(lambda: bench.writer._trouble, SECONDS, "the writer's word that the database is away")
    scratch_postgres.start()
    bench.put(entry("c"))
    wait_until(lambda: bench.ids() == ["a", "b", "c"], SECONDS, "all rows")
    bench.writer.stop()
    assert bench.spend() == {3 * COST}
    assert bench.rejected() == []


def test_the_ledger_forgets_only_what_the_journal_deleted(bench: Bench) -> None:
    bench.apply(entry("a"))
    away = bench.folder.with_name("away")
    bench.folder.rename(away)  # somebody puts another folder into its place, with the same identity
    bench.folder.mkdir()
    (bench.folder / "id").write_text((away / "id").read_text())
    (bench.folder / "lock").touch()
    bench.restart()
    bench.apply(entry("b"))
    assert bench.query("SELECT count(*) FROM lab.spend_journal") == [(2,)]
    for path in away.glob("*.journal"):
        path.rename(bench.folder / path.name)
    bench.restart()
    bench.writer.catch_up()
    assert bench.ids() == ["a", "b"]
    assert bench.spend() == {2 * COST}
    bench.restart()
    bench.writer.catch_up()
    assert bench.query("SELECT count(*) FROM lab.spend_journal") == [(0,)]
    assert list(bench.folder.glob("*.done")) == []


def test_budget_windows_begin_with_what_the_log_holds_and_roll_on(bench: Bench) -> None:
    def window(since: str) -> dict[str, str]:
        return {"kind": "key", "of": "key", "duration": "1d", "since": since}

    def held() -> list[tuple[Any, ...]]:
        return bench.query('SELECT window_start::text, spend FROM "LiteLLM_BudgetWindowSpend"')

    bench.apply(entry("before"), entry("of another day", startTime="2026-01-01T23:00:00"))
    bench.apply(
        entry("a", windows=[window("2026-01-02T00:00:00")]), entry("b", windows=[window("2026-01-02T00:00:00")])
    )
    assert held() == [("2026-01-02 00:00:00", 3 * COST)]
    bench.apply(entry("c", windows=[window("2026-01-02T00:00:00")]))
    assert held() == [("2026-01-02 00:00:00", 4 * COST)]
    bench.apply(entry("d", windows=[window("2026-01-03T00:00:00")], startTime="2026-01-03T01:00:00"))
    assert held() == [("2026-01-03 00:00:00", COST)]


def test_many_entries_are_exact_to_the_last_digit(bench: Bench) -> None:
    bench.apply(*(entry(str(number), spend=1e-7) for number in range(450)))
    assert len(bench.ids()) == 450
    assert all(math.isclose(spend, 450e-7, rel_tol=1e-12) for spend in bench.spend())
