"""What the notebooks' database role gets to see, and what it must not be able to do."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from litellm_hub import usage
from tests.support import usage_truth
from tests.support.usage_database import PASSWORD, Database, make_full_database, make_roles
from widgets.tools.ready import query_usage_log
from widgets.tools.tool import Tool


@pytest.fixture(scope="module")
def database(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage_rights")


@pytest.fixture
def as_reader(database: Database) -> Iterator[Any]:
    """A session of the reader that has lifted what it can lift."""
    connection = psycopg2.connect(database.reader)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET default_transaction_read_only = off; SET statement_timeout = 0")
    yield cursor
    connection.close()


@pytest.fixture
def as_superuser(database: Database) -> Iterator[Any]:
    connection = psycopg2.connect(database.superuser)
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


def test_every_other_table_and_view_is_closed(database: Database, as_reader: Any) -> None:
    with psycopg2.connect(database.superuser) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname IN ('public', 'lab') AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')"
            " AND (nspname, relname) <> ('lab', 'usage_log')"
        )
        relations = [name for (name,) in cursor.fetchall()]
    connection.close()
    assert {'public."LiteLLM_SpendLogs"', 'public."LiteLLM_VerificationToken"', "lab.made_later"} <= set(relations)
    assert len(relations) > 90
    for relation in relations:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_reader.execute(f"SELECT * FROM {relation}")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO lab.usage_log (request_id) VALUES ('x')",
        "UPDATE lab.usage_log SET spend = 0",
        "DELETE FROM lab.usage_log",
        'DELETE FROM public."LiteLLM_SpendLogs"',
        'TRUNCATE public."LiteLLM_SpendLogs"',
        'BEGIN; LOCK TABLE public."LiteLLM_SpendLogs" IN ACCESS SHARE MODE',
        "BEGIN; LOCK TABLE lab.usage_log IN SHARE MODE",
        "CREATE SCHEMA mine",
        "CREATE TABLE public.mine (a int)",
        "CREATE TABLE lab.mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "CREATE FUNCTION lab.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE VIEW lab.usage_log AS SELECT 1",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_statistic",
        "SELECT pg_read_file('postgresql.conf')",
        "COPY lab.usage_log TO PROGRAM 'cat'",
        "SET ROLE litellm",
        "CREATE ROLE mine",
        "GRANT SELECT ON lab.usage_log TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "DROP OWNED BY lab_reader",
        "SET temp_file_limit = -1",
        "ALTER ROLE lab_reader RESET temp_file_limit",
        "ALTER ROLE lab_reader CONNECTION LIMIT -1",
        "ALTER ROLE lab_reader NOLOGIN",
        "ALTER ROLE ALL SET statement_timeout = 1",
        "ALTER ROLE litellm PASSWORD 'mine'",
        "ALTER DATABASE usage_rights CONNECTION LIMIT 0",
        "ALTER EVENT TRIGGER lab_reader_changes_nothing DISABLE",
        "SELECT lo_creat(-1)",
    ],
)
def test_nothing_can_be_written_made_or_taken(as_reader: Any, statement: str) -> None:
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectNotInPrerequisiteState)):
        as_reader.execute(statement)


def test_no_lock_that_others_wait_for_can_be_taken(database: Database, as_reader: Any) -> None:
    as_reader.execute(
        "SELECT oid::regprocedure::text, has_function_privilege('lab_reader', oid, 'EXECUTE'),"
        " has_function_privilege('litellm', oid, 'EXECUTE') FROM pg_proc WHERE proname ~ 'advisory.*lock'"
        " AND proname !~ 'unlock'"
    )
    locks = as_reader.fetchall()
    assert len(locks) == 16
    assert {(readers, owners) for _, readers, owners in locks} == {(False, True)}
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_reader.execute("SELECT pg_try_advisory_lock(72707369)")
    with closing(psycopg2.connect(database.owner)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(72707369)")
        assert cursor.fetchone() == (True,)


def test_readers_have_so_many_connections_and_so_much_disk(
    scratch_postgres: Any, database: Database, as_superuser: Any
) -> None:
    as_superuser.execute("ALTER ROLE lab_reader SET temp_file_limit = '1MB'")
    as_superuser.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'lab_reader'")
    (others,) = as_superuser.fetchone()
    as_superuser.execute(f"ALTER ROLE lab_reader CONNECTION LIMIT {others + 1}")
    try:
        with closing(psycopg2.connect(database.reader)) as connection, connection.cursor() as cursor:
            with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
                psycopg2.connect(database.reader)
            with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
                cursor.execute("SELECT count(*) FROM (SELECT FROM generate_series(1, 500000) AS g ORDER BY -g) AS s")
        psycopg2.connect(database.owner).close()
    finally:
        make_roles(scratch_postgres, "usage_rights")


def test_what_a_reader_changes_of_its_role_is_made_good_by_the_next_run(
    scratch_postgres: Any, database: Database, as_reader: Any, as_superuser: Any
) -> None:
    role = (
        "SELECT rolconnlimit, (SELECT array_agg(setconfig) FROM pg_db_role_setting WHERE setrole = pg_authid.oid),"
        " rolpassword FROM pg_authid WHERE rolname = 'lab_reader'"
    )
    as_superuser.execute(role)
    limit, settings, _ = as_superuser.fetchone()
    wanted = ["default_transaction_read_only=on", "statement_timeout=30s", "temp_file_limit=1GB"]
    assert (limit, settings) == (60, [wanted])
    for change in (
        "PASSWORD NULL",
        "RESET ALL",
        "SET statement_timeout = 0",
        "SET search_path = 'pg_temp'",
        "IN DATABASE usage_rights SET client_connection_check_interval = 1",
    ):
        as_reader.execute(f"ALTER ROLE lab_reader {change}")
    assert "ALTER ROLE" in make_roles(scratch_postgres, "usage_rights")
    as_superuser.execute(role)
    *same, verifier = as_superuser.fetchone()
    assert same == [limit, settings]
    assert is_password(PASSWORD, verifier)
    assert make_roles(scratch_postgres, "usage_rights") == "", "a second run changes nothing"


def is_password(password: str, verifier: str) -> bool:
    """Whether PostgreSQL would take the password (RFC 5802)."""
    _, how, keys = verifier.split("$")
    rounds, salt = how.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b64decode(salt), int(rounds))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return keys.split(":")[0] == b64encode(stored).decode()


def test_no_default_privilege_opens_what_is_made_later(database: Database) -> None:
    with psycopg2.connect(database.superuser) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT defaclacl::text FROM pg_default_acl")
        assert [acl for (acl,) in cursor.fetchall() if "lab_reader" in acl or "{=" in acl or ",=" in acl] == []
    connection.close()


def test_statistics_show_no_values_of_the_log(as_reader: Any) -> None:
    as_reader.execute("SELECT count(*) FROM pg_stats WHERE schemaname IN ('public', 'lab')")
    assert as_reader.fetchone() == (0,)


def test_prompts_answers_messages_and_keys_are_not_in_the_view(database: Database, as_reader: Any) -> None:
    with psycopg2.connect(database.superuser) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "LiteLLM_SpendLogs" l WHERE l::text LIKE %s', (f"%{usage_truth.SECRET}%",))
        assert cursor.fetchone()[0] == len(usage_truth.requests())
    connection.close()
    as_reader.execute("SELECT l::text FROM lab.usage_log AS l")
    shown = "\n".join(line for (line,) in as_reader.fetchall())
    assert usage_truth.SECRET not in shown
    for alias in (*usage_truth.KEYS, None):
        token = usage_truth.token_of(alias)
        assert token[:12] in shown
        assert token[:13] not in shown


def test_prompts_are_shown_only_where_stored_and_permitted(database: Database) -> None:
    log = usage.connect(database.reader)
    with pytest.raises(usage.PromptsNotPermitted, match="usage_show_prompts"):
        usage.prompt(log, "request-1")
    with closing(psycopg2.connect(database.owner)) as connection, connection.cursor() as cursor:
        cursor.execute("GRANT SELECT ON lab_usage.prompts TO lab_reader")
        cursor.execute(
            'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime")'
            " VALUES ('not stored', 'x', now(), now())"
        )
        connection.commit()
        try:
            shown = usage.prompt(log, "request-1")
            assert shown is not None
            assert shown.messages == [usage_truth.SECRET]
            assert usage.prompt(log, "not stored") is None
        finally:
            cursor.execute("REVOKE SELECT ON lab_usage.prompts FROM lab_reader")
            cursor.execute("DELETE FROM \"LiteLLM_SpendLogs\" WHERE request_id = 'not stored'")
            connection.commit()
    log.dispose()


def test_a_key_in_clear_would_come_out_hashed(database: Database, as_reader: Any) -> None:
    with psycopg2.connect(database.owner) as connection, connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, "startTime", "endTime", request_tags,'
            " metadata, status) VALUES ('odd', 'x', 'sk-in-clear', now(), now(), '\"lab-smoke\"',"
            """ '{"error_information": {"error_class": "words of a prompt", "error_code": "400 bad"}}', 'failure')"""
        )
    connection.close()
    try:
        as_reader.execute(
            "SELECT l::text, error_class, error_code, tags, model FROM lab.usage_log l WHERE request_id = 'odd'"
        )
        line, *odd = as_reader.fetchone()
        assert "sk-in-clear" not in line
        assert odd == [None, None, [], "unknown-model"]
    finally:
        with psycopg2.connect(database.owner) as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM \"LiteLLM_SpendLogs\" WHERE request_id = 'odd'")
        connection.close()


def test_a_statement_of_ones_own_reads_the_log_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = usage.connect(database.reader)
    found = usage.select(engine, "SELECT model, count(*) AS requests FROM lab.usage_log GROUP BY model", limit=1)
    assert (list(found.columns), len(found)) == (["model", "requests"], 1)
    assert usage.select(engine, "SELECT '100%' AS said, ':x' AS other")["said"].tolist() == ["100%"]
    for statement, why in (
        ('SELECT * FROM public."LiteLLM_VerificationToken"', "permission denied"),
        ("CREATE TABLE t (a int)", "read-only"),
        ("SET TRANSACTION READ WRITE; CREATE TABLE public.t (a int)", "permission denied"),
        ("SELECT nothing", "does not exist"),
        ("SET timezone = 'UTC'", "returns no rows"),
    ):
        with pytest.raises(ValueError, match=why):
            usage.select(engine, statement)
    engine.dispose()
    monkeypatch.setenv("LAB_DATABASE_URL", database.reader)
    told = Tool.of(query_usage_log).run('{"sql": "SELECT count(*) AS n FROM lab.usage_log"}')
    assert not told.failed
    assert "- n: int64" in told.text
