"""Migrations of LiteLLM and of the lab, against a real server."""

import os
import re
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg2
import pytest

from tests.engine.support import ENGINE_SOURCE, counts, migrate, wait_for


@pytest.fixture
def database(scratch_postgres):
    """URL of an empty database with Prisma's parameters and a password that must not show up."""
    url = scratch_postgres.create_database(f"m{uuid.uuid4().hex}").replace("postgres@", "postgres:s3cret@")
    return f"{url}?connection_limit=3&schema=public"


@pytest.fixture
def migrations_folder(tmp_path):
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("CREATE TABLE lab.first (a int); INSERT INTO lab.first VALUES (1);")
    (folder / "0002_second.sql").write_text("CREATE VIEW lab.second AS SELECT a FROM lab.first WHERE '%s' <> '';")
    return folder


def query(database, statement, *values):
    with closing(psycopg2.connect(database.partition("?")[0])) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


@contextmanager
def migrating(gateway_env, database):
    """A run of migrate.py in the background; ended, if need be, at the end of the block."""
    environment = os.environ | {"DATABASE_URL": database}
    with subprocess.Popen([gateway_env.python, ENGINE_SOURCE / "migrate.py"], env=environment) as process:
        yield process
        process.kill()


def failure(result):
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    assert "s3cret" not in result.stdout + result.stderr
    return result.stderr


def test_everything_is_applied_once(gateway_env, database, migrations_folder):
    options = ("--lab-migrations", str(migrations_folder))
    waiting = counts(migrate(gateway_env, database, "--check", *options))
    assert query(database, "SELECT to_regclass('_prisma_migrations')") == [(None,)], "--check must not write"
    first = counts(migrate(gateway_env, database, *options))
    second = counts(migrate(gateway_env, database, *options))
    shipped = first["shipped"]
    assert shipped > 200
    assert waiting == {"applied": 0, "pending": shipped, "shipped": shipped}
    assert first == {"applied": shipped, "pending": 0, "shipped": shipped}
    assert second == {"applied": 0, "pending": 0, "shipped": shipped}
    assert query(database, "SELECT a FROM lab.second") == [(1,)]
    assert query(database, 'SELECT count(*) FROM "LiteLLM_SpendLogs"') == [(0,)]


def test_ledger_is_what_prisma_writes(gateway_env, database):
    shipped = counts(migrate(gateway_env, database))["shipped"]
    finished = (
        "SELECT count(*), min(applied_steps_count), max(length(checksum)) FROM _prisma_migrations "
        "WHERE finished_at >= started_at AND logs IS NULL"
    )
    assert query(database, finished) == [(shipped, 1, 64)]
    assert query(database, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_a_new_lab_migration_is_applied_alone(gateway_env, database, migrations_folder):
    options = ("--lab-migrations", str(migrations_folder))
    migrate(gateway_env, database, *options)
    (migrations_folder / "0003_third.sql").write_text("CREATE TABLE lab.third ()")
    assert counts(migrate(gateway_env, database, *options))["applied"] == 1
    assert query(database, "SELECT name FROM lab.migrations ORDER BY 1")[-1] == ("0003_third.sql",)


def test_an_edited_lab_migration_is_refused_by_name(gateway_env, database, migrations_folder):
    options = ("--lab-migrations", str(migrations_folder))
    migrate(gateway_env, database, *options)
    with (migrations_folder / "0001_first.sql").open("a") as file:
        file.write("-- edited")
    (migrations_folder / "0003_third.sql").write_text("CREATE TABLE lab.third ()")
    for extra in ((), ("--check",)):
        assert "0001_first.sql was edited" in failure(migrate(gateway_env, database, *options, *extra))
    assert query(database, "SELECT to_regclass('lab.third')") == [(None,)]


def test_a_failing_lab_migration_leaves_nothing_and_can_be_repaired(gateway_env, database, migrations_folder):
    options = ("--lab-migrations", str(migrations_folder))
    broken = migrations_folder / "0003_third.sql"
    broken.write_text("CREATE TABLE lab.third (); SELECT nosuch;")
    message = failure(migrate(gateway_env, database, *options))
    assert "0003_third.sql" in message
    assert 'column "nosuch" does not exist' in message
    assert query(database, "SELECT to_regclass('lab.third')") == [(None,)]
    broken.write_text("CREATE TABLE lab.third ()")
    assert counts(migrate(gateway_env, database, *options))["applied"] == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [("first.sql", "is not named like"), ("0001_again.sql", "have the same number"), (None, "is not a folder")],
    ids=["no number", "double number", "no folder"],
)
def test_a_wrong_lab_folder_is_named(name, message, gateway_env, database, migrations_folder):
    folder = migrations_folder / "nosuch"
    if name:
        folder = migrations_folder
        (folder / name).write_text("SELECT 1")
    assert message in failure(migrate(gateway_env, database, "--lab-migrations", str(folder)))


def at_cron_job(database, statement):
    """Let something happen in the migration that creates the table of that name, one of the first ten."""
    query(
        database,
        "CREATE FUNCTION happen() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%CronJob%') THEN "
        + statement
        + " END IF; END $$; CREATE EVENT TRIGGER happen ON ddl_command_end EXECUTE FUNCTION happen()",
    )


def test_a_failing_shipped_migration_leaves_no_trace_of_itself(gateway_env, database):
    at_cron_job(database, "RAISE 'disk is full';")
    message = failure(migrate(gateway_env, database))
    assert "cron" in message
    assert "disk is full" in message
    query(database, "DROP EVENT TRIGGER happen")
    assert query(database, "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NULL") == [(0,)]
    after = counts(migrate(gateway_env, database))
    assert 0 < after["applied"] < after["shipped"]


def test_an_interrupted_transactional_migration_is_simply_applied_again(gateway_env, database):
    at_cron_job(database, "PERFORM pg_advisory_xact_lock(1);")
    with closing(psycopg2.connect(database.partition("?")[0])) as blocker:
        blocker.cursor().execute("SELECT pg_advisory_lock(1)")
        with migrating(gateway_env, database) as process:
            stuck = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
            )
            wait_for(lambda: query(database, stuck) == [(1,)])
            process.kill()
    query(database, "DROP EVENT TRIGGER happen")
    before = query(database, "SELECT count(*) FROM _prisma_migrations")[0][0]
    after = counts(migrate(gateway_env, database))
    assert before > 0
    assert after == {"applied": after["shipped"] - before, "pending": 0, "shipped": after["shipped"]}


def test_a_half_finished_migration_is_named_and_applied_again_on_request(gateway_env, database):
    """As an interrupted CREATE INDEX CONCURRENTLY leaves it: begun in the ledger, the index there and invalid."""
    name = "20261008000100_lens_due_at_index"
    counts(migrate(gateway_env, database))
    query(database, "UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name = %s", name)
    index = '"LiteLLM_Lens_due_at_idx"'
    query(database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", index)
    assert counts(migrate(gateway_env, database, "--check"))["pending"] == 1
    message = failure(migrate(gateway_env, database))
    assert name in message
    assert "--retry" in message
    assert counts(migrate(gateway_env, database, "--retry"))["applied"] == 1
    assert query(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", index) == [(True,)]
    rows = "SELECT rolled_back_at IS NULL FROM _prisma_migrations WHERE migration_name = %s ORDER BY 1"
    assert query(database, rows, name) == [(False,), (True,)]
    assert counts(migrate(gateway_env, database))["applied"] == 0


def test_three_runs_at_once_apply_everything_once(gateway_env, database, migrations_folder):
    with ThreadPoolExecutor() as pool:
        folder = str(migrations_folder)
        runs = [pool.submit(migrate, gateway_env, database, "--lab-migrations", folder) for _ in range(3)]
        answers = [counts(run.result()) for run in runs]
    assert sorted(answer["applied"] for answer in answers) == [0, 0, answers[0]["shipped"]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: re.sub(r":\d+/", ":1/", url), "Connection refused"),
        (
            lambda url: re.sub(r":\d+/\w+", lambda port: port[0].partition("/")[0] + "/nosuch", url),
            '"nosuch" does not exist',
        ),
        (lambda url: url.replace("s3cret", "s3cret%zz"), "invalid percent-encoded token"),
        (lambda url: "", "DATABASE_URL is not set"),
    ],
    ids=["nothing listens", "unknown database", "malformed", "unset"],
)
def test_a_wrong_database_url_is_explained_without_the_password(change, reason, gateway_env, database):
    assert reason in failure(migrate(gateway_env, change(database)))
