"""What the notebooks' database role gets to see, and what it must not be able to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from litellm_hub import usage
from tests.support import usage_truth
from tests.support.usage_database import Database, make_full_database


@pytest.fixture(scope="module")
def database(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage_rights")


@pytest.fixture
def as_reader(database: Database) -> Iterator[Any]:
    """A plain session of the reader, without the read-only mode that `connect` sets."""
    connection = psycopg2.connect(database.reader)
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
        "SET ROLE usage_owner",
        "CREATE ROLE mine",
    ],
)
def test_nothing_can_be_written_made_or_taken(as_reader: Any, statement: str) -> None:
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectNotInPrerequisiteState)):
        as_reader.execute(statement)


def test_the_reader_cannot_pass_its_right_on(as_reader: Any) -> None:
    as_reader.execute("GRANT SELECT ON lab.usage_log TO PUBLIC")  # PostgreSQL warns and does nothing
    as_reader.execute("SELECT has_table_privilege('usage_owner', 'lab.usage_log', 'SELECT WITH GRANT OPTION')")
    assert as_reader.fetchone() == (True,)
    as_reader.execute("SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE relname = 'usage_log' AND grantee = 0")
    assert as_reader.fetchone() == (0,)


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
