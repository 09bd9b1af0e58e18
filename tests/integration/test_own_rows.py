"""What a person's login sees of the usage log, and what it must not be able to do: by real logins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from psycopg2 import errors
from sqlalchemy import NullPool, create_engine

from litellm_hub import usage
from litellm_hub.people.logins import Logins, LoginsError, Step, name_missing
from litellm_hub.people.roster import Member
from tests.support import usage_truth
from tests.support.lab import ROOT
from tests.support.school import ANNA, BEN, CARLA, DORA, MANY, NOW, PEOPLE, TEAMS, Class, opened, token_of
from tests.support.usage_database import make_database, make_roles
from widgets.panels import usage_view

NAME = "own_rows"
_REFUSED = (errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)


@pytest.fixture(scope="module")
def school(scratch_postgres: Any, gateway_env: Any) -> Iterator[Class]:
    with opened(scratch_postgres, make_database(scratch_postgres, gateway_env, NAME), NAME) as made:
        yield made


def test_an_older_log_looks_the_same_as_before(scratch_postgres: Any, gateway_env: Any, tmp_path: Path) -> None:
    make_roles(scratch_postgres, "own_rows_later")
    url = scratch_postgres.url_of("own_rows_later", "litellm")
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "litellm_hub/gateway/migrations", folder)
    newer = folder / "0005_own_rows.sql"
    newest = newer.read_text()
    newer.unlink()

    def migrate() -> None:
        command = [gateway_env.python, ROOT / "litellm_hub/gateway/engine/migrate.py", "--lab-migrations", folder]
        subprocess.run(command, env=os.environ | {"DATABASE_URL": url}, check=True, capture_output=True)

    def shown() -> list[Any]:
        with closing(psycopg2.connect(url.replace("litellm@", "lab_reader@"))) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT log::text FROM lab.usage_log AS log ORDER BY request_id")
            rows: list[Any] = cursor.fetchall()
            cursor.execute("SELECT count(*) FROM pg_description WHERE objoid = 'lab.usage_log'::regclass")
            return rows + cursor.fetchall()

    migrate()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
    with engine.begin() as connection:
        usage_truth.write(connection, usage_truth.requests())
    before = shown()
    assert len(before) > 900
    newer.write_text(newest)
    migrate()
    assert shown() == before


def test_logins_are_made_once_and_tell_no_names(school: Class) -> None:
    assert school.bring(PEOPLE) == []
    for name, login in school.logins.items():
        assert not set(name.split("-")) & set(login["login"].split("_"))
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(school.url(name).replace(login["password"], "wrong"))


def test_a_person_sees_the_own_requests_and_a_teacher_the_teams(school: Class) -> None:
    whole = school.ask("litellm", "SELECT request_id, user_id, team_id FROM lab.usage_log")
    assert len(whole) == 4000
    for who, mine in (
        (ANNA, lambda user, team: user == ANNA),
        (DORA, lambda user, team: user == DORA),
        (CARLA, lambda user, team: user == CARLA or team == "team-of-anna"),
    ):
        seen = [row for (row,) in school.ask(who, "SELECT request_id FROM lab.usage_log")]
        assert sorted(seen) == sorted(row for row, user, team in whole if mine(user, team))
        assert 100 < len(seen) < 2000
    for who in ("lab_reader", "postgres"):
        assert school.ask(who, "SELECT count(*) FROM lab.usage_log") == [(4000,)]


@settings(max_examples=40)
@given(
    user=some.sampled_from([ANNA, BEN, *MANY[:5], "nobody"]),
    teams=some.lists(some.sampled_from([*TEAMS, "no team"]), max_size=4, unique=True),
    hours=some.integers(0, 130),
)
def test_the_view_of_a_person_is_the_whole_filtered(school: Class, user: str, teams: list[str], hours: int) -> None:
    login = school.logins[DORA]["login"]
    query = "SELECT log::text FROM lab.usage_log AS log WHERE started_at_utc >= %s"
    since = NOW - timedelta(hours=hours)
    with closing(psycopg2.connect(school.url("lab_registrar"))) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE lab.people SET user_id = %s, teams = %s WHERE login = %s", (user, teams, login))
        connection.commit()
    try:
        whole = school.ask("litellm", f"{query} AND (user_id = %s OR team_id = ANY (%s))", since, user, teams)
        assert sorted(school.ask(DORA, query, since)) == sorted(whole)
    finally:
        school.bring(PEOPLE)


def scans(node: dict[str, Any], branch: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The plan's steps that read the log or an index of it, with the condition of their branch."""
    branch = node.get("One-Time Filter", branch)
    if node.get("Relation Name") == "LiteLLM_SpendLogs" or "spend_logs" in node.get("Index Name", ""):
        yield branch, node
    for child in node.get("Plans", []):
        yield from scans(child, branch)


def test_the_whole_log_is_never_read_for_a_person_and_nothing_else_for_the_rest(school: Class) -> None:
    query = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM lab.usage_log WHERE started_at_utc >= %s"
    for who, theirs in ((ANNA, "lab.is_person()"), (CARLA, "lab.is_person()"), ("lab_reader", "(NOT lab.is_person())")):
        [(plan,)] = school.ask(who, query, NOW - timedelta(days=2))
        found = list(scans(plan[0]["Plan"]))
        assert {branch for branch, _ in found} == {"lab.is_person()", "(NOT lab.is_person())"}
        read = [step for branch, step in found if step["Actual Loops"]]
        assert read
        assert all(branch == theirs for branch, step in found if step["Actual Loops"]), who
        if who != "lab_reader":
            assert "spend_logs_user_start" in {step.get("Index Name") for step in read}
            assert not any(step["Node Type"] == "Seq Scan" for step in read), who


# A statement that a person is refused, and who may do the same.
REFUSED = {
    'SELECT * FROM public."LiteLLM_SpendLogs"': "litellm",
    'SELECT token FROM public."LiteLLM_VerificationToken"': "litellm",
    'SELECT user_id FROM public."LiteLLM_UserTable"': "litellm",
    "SELECT * FROM lab.people": "lab_registrar",
    "SELECT * FROM lab.spend_journal": "litellm",
    "SELECT * FROM lab_usage.prompts": "litellm",
    "SELECT * FROM lab_usage.source": "litellm",
    "UPDATE lab.people SET teams = ARRAY['team-of-dora']": "lab_registrar",
    "INSERT INTO lab.people (login, user_id) VALUES ('p', 'dora-of-another')": "lab_registrar",
    'DELETE FROM public."LiteLLM_SpendLogs"': "litellm",
    "DELETE FROM lab_usage.volume": "litellm",
    "LOCK TABLE lab_usage.volume IN SHARE MODE": "litellm",
    "CREATE TEMP TABLE mine (a int)": "litellm",
    "CREATE TABLE lab.mine (a int)": "litellm",
    "CREATE SCHEMA mine": "litellm",
    "ALTER TABLE lab_usage.volume DISABLE ROW LEVEL SECURITY": "litellm",
    "CREATE OR REPLACE FUNCTION lab.is_person() RETURNS boolean LANGUAGE sql STABLE RETURN false": "litellm",
    "GRANT SELECT ON lab.people TO PUBLIC": "litellm",
    "SELECT lab_usage.refresh()": "litellm",
    "SELECT lab_usage.rebuild('2026-01-01', '2026-01-02')": "litellm",
    "SELECT pg_try_advisory_xact_lock(1)": "litellm",
    "SELECT lo_creat(-1)": "postgres",
    "SELECT pg_logical_emit_message(false, 'a', 'b')": "postgres",
    "SELECT pg_stat_reset()": "postgres",
    "SELECT pg_reload_conf()": "postgres",
    "SELECT pg_read_file('postgresql.conf')": "postgres",
    "SELECT rolpassword FROM pg_authid": "postgres",
    "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'": "postgres",
    "SET ROLE litellm": "postgres",
    "SET ROLE lab_reader": "postgres",
    "SET SESSION AUTHORIZATION lab_reader": "postgres",
    "CREATE ROLE mine": "lab_registrar",
    "DROP OWNED BY {own}": "postgres",
    "ALTER ROLE {other} PASSWORD 'mine'": "lab_registrar",
    "ALTER ROLE {other} NOLOGIN": "lab_registrar",
    "GRANT {other} TO {own}": "lab_registrar",
    "ALTER ROLE {own} CONNECTION LIMIT -1": "lab_registrar",
    "ALTER ROLE {own} SET temp_file_limit = -1": "lab_registrar",
    "SET temp_file_limit = -1": "postgres",
    "SELECT pg_cancel_backend({pid})": "postgres",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_others_may_a_person_may_not(school: Class, statement: str) -> None:
    own, other = (school.logins[name]["login"] for name in (CARLA, DORA))
    with school.session("litellm") as idle:
        text = statement.format(own=own, other=other, pid=idle.connection.info.backend_pid)
        with school.session(CARLA) as cursor, pytest.raises(_REFUSED):
            cursor.execute(text)
        with school.session(REFUSED[statement]) as cursor:
            cursor.execute(text)


def test_the_groups_own_rights_and_settings_open_nothing(school: Class) -> None:
    for lifted in ("SET ROLE lab_person", "SET row_security = off", "SET search_path = pg_temp, lab, public"):
        with school.session(ANNA) as cursor:
            cursor.execute(lifted)
            cursor.execute("SELECT DISTINCT user_id FROM lab.usage_log")
            assert cursor.fetchall() == [(ANNA,)]
    with school.session(ANNA) as cursor:
        cursor.execute("SET row_security = off")
        with pytest.raises(errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM lab_usage.people_series")
    assert school.ask(ANNA, "SELECT * FROM lab.caller()") == [(ANNA, [])]


def test_no_condition_of_ones_own_sees_what_the_view_hides(school: Class) -> None:
    with school.session(ANNA) as cursor:
        # It would fail with the name of another in its words if the condition came before the view's own.
        cursor.execute("SELECT count(*) FROM lab.usage_log WHERE user_id = %s OR user_id::int > 0", (ANNA,))
        assert cursor.fetchone()[0] > 100


def test_nothing_that_a_person_can_read_tells_names_of_others(school: Class) -> None:
    readable = (
        "SELECT format('%%I.%%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname NOT LIKE 'pg_toast%%'"
        " AND has_schema_privilege(%s, n.oid, 'USAGE') AND has_table_privilege(%s, pg_class.oid, 'SELECT')"
    )
    login = school.logins[ANNA]["login"]
    relations = [name for (name,) in school.ask("postgres", readable, login, login)]
    assert {"lab.usage_log", "lab_usage.people_series", "lab_usage.budgets", "pg_catalog.pg_roles"} <= set(relations)
    others = (BEN, CARLA, DORA, "team-of-dora", "alias-team-1", "user-1", token_of(BEN)[:12], "prompt of")

    def told(who: str) -> dict[str, set[str]]:
        found = {}
        for relation in relations:
            with school.session(who) as cursor:
                try:
                    cursor.execute(f"SELECT row::text FROM {relation} AS row")
                except errors.InsufficientPrivilege:  # of a catalogue's view, some columns of which are closed
                    assert relation.startswith(("pg_catalog", "information_schema")), relation
                    continue
                text = "\n".join(row for (row,) in cursor.fetchall())
            if names := {name for name in others if name in text}:
                found[relation] = names
        return found

    assert told(ANNA) == {}
    assert "lab_usage.people_series" in told("lab_reader")


def test_names_and_budgets_are_the_own_and_the_teams(school: Class) -> None:
    def names(who: str, statement: str) -> set[Any]:
        return {row[0] for row in school.ask(who, statement)}

    keys, teams = "SELECT key_alias FROM lab_usage.key_names", "SELECT team_id FROM lab_usage.team_names"
    assert (names(ANNA, keys), names(ANNA, teams)) == ({ANNA}, {"team-of-anna"})
    assert {ANNA, BEN, CARLA} <= names(CARLA, keys)
    assert DORA not in names(CARLA, keys)
    assert names(CARLA, teams) == {"team-of-anna"}
    assert (len(names("lab_reader", keys)), len(names("lab_reader", teams))) == (64, 12)
    budgets = "SELECT DISTINCT kind || ' ' || coalesce(user_id, team) FROM lab_usage.budgets"
    assert names(ANNA, budgets) == {f"key {ANNA}", f"user {ANNA}"}
    assert {f"key {BEN}", f"user {BEN}", "team alias-team-of-anna"} <= names(CARLA, budgets)
    assert not {f"user {DORA}", "team alias-team-of-dora"} & names(CARLA, budgets)
    assert len(names("lab_reader", budgets)) == 64 * 2 + 12


def test_the_rollup_shows_no_row_to_a_person_and_all_to_the_notebooks(school: Class) -> None:
    tables = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'lab_usage'::regnamespace AND relkind = 'r'"
    names = [name for (name,) in school.ask("postgres", tables)]
    assert len(names) > 12
    for name in names:
        assert school.ask(CARLA, f"SELECT count(*) FROM {name}") == [(0,)], name
        assert school.ask("lab_reader", f"SELECT * FROM {name}") == school.ask("litellm", f"SELECT * FROM {name}")
    assert school.ask("lab_reader", "SELECT sum(requests) FROM lab_usage.volume")[0][0] > 3000


def test_the_usage_library_and_the_dashboard_work_as_a_person(school: Class) -> None:
    for who in (ANNA, CARLA):
        log = usage.connect(school.url(who))
        assert usage.freshness(log).state == "own"
        rows = school.ask(who, "SELECT count(*), count(DISTINCT user_id) FROM lab.usage_log WHERE NOT is_smoke")
        [(count, users)] = rows
        assert usage.totals(log, by=())["requests"].tolist() == [count]
        assert usage.volume(log)["requests"].sum() == count
        ranked = usage.people(log)
        assert (ranked["requests"].sum(), ranked["user"].nunique()) == (count, users)
        assert usage.latency(log)["requests"].sum() == count
        assert set(usage.budgets(log)["kind"]) == ({"key", "user"} if who == ANNA else {"key", "user", "team"})
        shown = usage_view.view(log, usage_view.Choice(), datetime.now(UTC))
        assert (shown["empty"], shown["freshness"]) == (False, "own")
        page, _ = usage_view.rows(log, usage_view.Choice(), datetime.now(UTC), None, None)
        assert page
        with pytest.raises(usage.PromptsNotPermitted):
            usage.prompt(log, "r1")
        log.dispose()


def test_who_leaves_is_shut_out_at_once_and_comes_back_with_the_same_login(school: Class) -> None:
    login = dict(school.logins[BEN])
    with closing(psycopg2.connect(school.url(BEN))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        left = {name: person for name, person in PEOPLE.items() if name != BEN}
        assert school.bring(left) == [f"close {BEN}'s login"]
        assert school.bring(left) == []
        cursor.execute("SELECT count(*) FROM lab.usage_log")
        assert cursor.fetchone() == (0,)
    with pytest.raises(psycopg2.OperationalError, match="not permitted to log in"):
        psycopg2.connect(school.url(BEN))
    assert school.bring(PEOPLE) == [f"change {BEN}'s login"]
    assert school.logins[BEN] == login
    assert school.ask(BEN, "SELECT DISTINCT user_id FROM lab.usage_log") == [(BEN,)]


def test_a_role_makes_a_teacher_of_a_student_and_back(school: Class) -> None:
    promoted = PEOPLE | {ANNA: Member(ANNA, "team-of-anna", "teacher")}
    assert school.bring(promoted) == [f"change {ANNA}'s login"]
    assert len(school.ask(ANNA, "SELECT DISTINCT user_id FROM lab.usage_log")) > 2
    assert school.bring(PEOPLE) == [f"change {ANNA}'s login"]


@pytest.mark.parametrize(
    "change",
    [
        "PASSWORD 'mine'",
        "PASSWORD NULL",
        "SET statement_timeout = 0",
        "SET search_path = 'pg_temp'",
        f"IN DATABASE {NAME} SET default_transaction_read_only = off",
    ],
)
def test_what_a_person_changes_of_the_own_login_is_made_good(school: Class, change: str) -> None:
    with closing(psycopg2.connect(school.url(ANNA))) as connection, connection.cursor() as cursor:
        connection.set_session(readonly=False, autocommit=True)
        cursor.execute(f"ALTER ROLE {school.logins[ANNA]['login']} {change}")
    assert school.bring(PEOPLE) == [f"change {ANNA}'s login"]
    assert school.bring(PEOPLE) == []
    with closing(psycopg2.connect(school.url(ANNA))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only')")
        assert cursor.fetchone() == ("30s", "on")
        cursor.execute("SELECT current_setting('temp_file_limit'), current_setting('search_path')")
        assert cursor.fetchone() == ("512MB", '"$user", public')


def test_a_person_has_six_connections(school: Class) -> None:
    held = [psycopg2.connect(school.url(ANNA)) for _ in range(6)]
    try:
        with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
            psycopg2.connect(school.url(ANNA))
        with pytest.raises(usage.LogUnreachable, match="as many connections") as told:
            usage.connect(school.url(ANNA))
        assert "kernels" in str(told.value.remedy)
        assert school.bring(PEOPLE) == [], "that is no reason for another password"
        psycopg2.connect(school.url(DORA)).close()
    finally:
        for connection in held:
            connection.close()


def test_the_registrar_changes_no_role_that_it_did_not_make(school: Class) -> None:
    for statement in (
        "ALTER ROLE litellm PASSWORD 'mine'",
        "ALTER ROLE lab_reader NOLOGIN",
        "GRANT litellm TO lab_registrar",
        "GRANT pg_read_all_data TO lab_registrar",
        "CREATE ROLE mine SUPERUSER",
        'SELECT * FROM public."LiteLLM_SpendLogs"',
        "SELECT * FROM lab_usage.prompts",
        "CREATE TABLE lab.mine (a int)",
    ):
        with school.session("lab_registrar") as cursor, pytest.raises(errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_all_changes_are_made_or_none(school: Class) -> None:
    added = PEOPLE | {"eva": Member("eva", "team-of-anna", "student")}
    logins = dict(school.logins)
    name_missing(logins, added)
    steps = school.registrar.compare(added, logins)
    assert [step.says for step in steps] == ["make eva's login"]
    broken = Step("break", [*steps[0].statements, steps[0].statements[0]])
    with pytest.raises(LoginsError, match="already exists"):
        school.registrar.carry_out([*steps, broken])
    assert [step.says for step in school.registrar.compare(added, logins)] == ["make eva's login"]
    with pytest.raises(LoginsError, match="password authentication failed"):
        Logins(school.place, "wrong").compare(PEOPLE, school.logins)


def test_one_of_the_group_of_whom_nothing_is_known_sees_nothing(school: Class) -> None:
    login = school.logins[DORA]["login"]
    with closing(psycopg2.connect(school.url("lab_registrar"))) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM lab.people WHERE login = %s", (login,))
        connection.commit()
    try:
        for relation in ("lab.usage_log", "lab_usage.key_names", "lab_usage.team_names", "lab_usage.budgets"):
            assert school.ask(DORA, f"SELECT count(*) FROM {relation}") == [(0,)]
    finally:
        assert school.bring(PEOPLE) == [f"change {DORA}'s login"]
