#!/usr/bin/env python3
"""Apply LiteLLM's shipped SQL migrations, then the lab's own, without Prisma's schema engine.

Run with the gateway's own Python and DATABASE_URL in the environment::

    python migrate.py [--lab-migrations DIR] [--check] [--retry]

LiteLLM's migrations are recorded in `_prisma_migrations` (Prisma's table layout and checksums), so a later real
`prisma migrate deploy` accepts them; the lab's in `lab.migrations`. The last line of standard output is one JSON
object ``{"applied": N, "pending": M, "shipped": K}``; the numbers count both kinds.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import psycopg  # type: ignore[import-not-found, unused-ignore]  # is in the gateway's environment only
from psycopg import sql  # type: ignore[import-not-found, unused-ignore]  # as above

PRISMA_ADVISORY_LOCK = 72707369  # the key Prisma's schema engine holds while it migrates
LOCK_PATIENCE_S = 300.0
LOCK_POLL_S = 0.1
PRISMA_ONLY_PARAMETERS = {
    "schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size", "sslaccept",
    "max_connection_lifetime", "max_idle_connection_lifetime", "single_use_connections",
}  # fmt: skip
LAB_FILE = re.compile(r"(\d{4})_\w+\.sql")

CREATE_PRISMA_LEDGER = """
CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
)"""
CREATE_LAB_LEDGER = """
CREATE SCHEMA IF NOT EXISTS lab;
CREATE TABLE IF NOT EXISTS lab.migrations (
    name       TEXT PRIMARY KEY,
    checksum   TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)"""

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


class MigrationError(Exception):
    """The database cannot be brought up to date; the message names the cause and the remedy."""


@dataclass(frozen=True)
class Migration:
    """One SQL script, known by its name and content."""

    name: str
    script: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script, hexadecimal, as Prisma computes it."""
        return hashlib.sha256(self.script.encode()).hexdigest()

    @property
    def is_transactional(self) -> bool:
        """Whether PostgreSQL can run the script inside a transaction."""
        return not re.search(r"\bCONCURRENTLY\b", re.sub(r"--[^\n]*", "", self.script), re.IGNORECASE)


def split_url(database_url: str) -> tuple[str, str | None]:
    """Separate what only Prisma understands from a database URL.

    Args:
        database_url: As LiteLLM uses it.

    Returns:
        URL for libpq, and the schema that Prisma was told to use, if any.
    """
    parts = urlsplit(database_url)
    parameters = parse_qsl(parts.query)
    kept = [(key, value) for key, value in parameters if key not in PRISMA_ONLY_PARAMETERS]
    return urlunsplit(parts._replace(query=urlencode(kept))), dict(parameters).get("schema")


def shipped_migrations() -> list[Migration]:
    """List what the installed litellm_proxy_extras ships.

    Returns:
        Migrations in the order Prisma applies them.

    Raises:
        MigrationError: The package is not installed for this Python.
    """
    spec = importlib.util.find_spec("litellm_proxy_extras")
    if spec is None or spec.origin is None:
        raise MigrationError(
            f"litellm_proxy_extras is missing for {sys.executable}: run this with the gateway's Python."
        )
    files = sorted(Path(spec.origin).parent.glob("migrations/*/migration.sql"), key=lambda file: file.parent.name)
    return [Migration(file.parent.name, file.read_bytes().decode()) for file in files]


def lab_migrations(folder: Path | None) -> list[Migration]:
    """List the lab's own migrations.

    Args:
        folder: Where the numbered files are, e.g. `0001_usage_view.sql`; None for no folder.

    Returns:
        Migrations in order.

    Raises:
        MigrationError: The folder is missing, a file has no number, or two have the same.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        raise MigrationError(f"{folder} is not a folder: correct --lab-migrations.")
    seen: dict[str, str] = {}
    for file in sorted(folder.glob("*.sql")):
        match = LAB_FILE.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"{file.name} is not named like 0001_usage_view.sql: rename it.")
        if match[1] in seen:
            raise MigrationError(f"{seen[match[1]]} and {file.name} have the same number: renumber the newer one.")
        seen[match[1]] = file.name
    return [Migration(name, (folder / name).read_text()) for name in seen.values()]


def take_lock(connection: Connection, patience_s: float = LOCK_PATIENCE_S) -> None:
    """Keep every other migration away until the connection closes.

    Waiting inside pg_advisory_lock would hold a snapshot, on which CREATE INDEX CONCURRENTLY of the other run waits:
    a deadlock. So the lock is asked for again and again instead.

    Args:
        connection: In autocommit mode.
        patience_s: Longest wait, in seconds.

    Raises:
        MigrationError: Another run held the lock all the time.
    """
    deadline = time.monotonic() + patience_s
    while connection.execute("SELECT pg_try_advisory_lock(%s)", (PRISMA_ADVISORY_LOCK,)).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise MigrationError(f"Another migration has been running for {patience_s:.0f} s: wait for it, or end it.")
        time.sleep(LOCK_POLL_S)


def has_table(connection: Connection, name: str) -> bool:
    """Tell whether a table exists, looked up as SQL would."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    return bool(row and row[0])


def settle_unfinished(connection: Connection, *, retry: bool) -> None:
    """Deal with migrations of LiteLLM that were begun and never finished.

    Args:
        connection: Holds the lock; the ledger exists.
        retry: Mark them as rolled back, so that they are applied again.

    Raises:
        MigrationError: There are some and `retry` is False.
    """
    unfinished = "finished_at IS NULL AND rolled_back_at IS NULL"
    rows = connection.execute(f"SELECT migration_name, logs FROM _prisma_migrations WHERE {unfinished}").fetchall()  # noqa: S608
    if not rows:
        return
    names = "; ".join(f"{name} ({logs or 'interrupted'})" for name, logs in rows)
    if not retry:
        raise MigrationError(
            f"Half-finished in an earlier run: {names}. Run migrate.py again with --retry: it marks them as rolled "
            "back, drops the indexes they left invalid, and applies them again."
        )
    print(f"again: {names}", file=sys.stderr)
    drop_invalid_indexes(connection)
    connection.execute(f"UPDATE _prisma_migrations SET rolled_back_at = now() WHERE {unfinished}")  # noqa: S608


def drop_invalid_indexes(connection: Connection) -> None:
    """Drop what an interrupted CREATE INDEX CONCURRENTLY left: IF NOT EXISTS would keep it, unusable, for ever."""
    rows = connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
        "WHERE NOT indisvalid AND relname LIKE 'LiteLLM\\_%' AND relnamespace = current_schema()::regnamespace"
    ).fetchall()
    for (quoted_name,) in rows:
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted_name}")


def pending_shipped(connection: Connection, shipped: list[Migration]) -> list[Migration]:
    """Find LiteLLM's migrations that the database does not have.

    Args:
        connection: To the gateway's database.
        shipped: What this version brings.

    Returns:
        Migrations to apply.
    """
    if not has_table(connection, "_prisma_migrations"):
        return shipped
    rows = connection.execute(
        "SELECT migration_name, checksum FROM _prisma_migrations "
        "WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL"
    )
    applied: dict[str, str] = dict(rows.fetchall())
    for migration in shipped:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            print(f"warning: {migration.name} was changed after it had been applied", file=sys.stderr)
    return [migration for migration in shipped if migration.name not in applied]


def pending_lab(connection: Connection, own: list[Migration]) -> list[Migration]:
    """Find the lab's migrations that the database does not have.

    Args:
        connection: To the gateway's database.
        own: What this version brings.

    Returns:
        Migrations to apply.

    Raises:
        MigrationError: An applied one was edited.
    """
    if not has_table(connection, "lab.migrations"):
        return own
    applied: dict[str, str] = dict(connection.execute("SELECT name, checksum FROM lab.migrations").fetchall())
    for migration in own:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was edited after it had been applied: restore it and put the change into a new file."
            )
    return [migration for migration in own if migration.name not in applied]


def apply_shipped(connection: Connection, migration: Migration) -> None:
    """Apply one of LiteLLM's migrations and record it as Prisma does.

    A transactional one shares a transaction with its record, so an interruption leaves no trace of it. One that
    PostgreSQL only runs outside is recorded before and after; in between it counts as half-finished.

    Args:
        connection: Holds the lock.
        migration: Not yet applied.

    Raises:
        psycopg.Error: PostgreSQL refused it.
    """
    row_id = str(uuid.uuid4())
    with connection.transaction() if migration.is_transactional else contextlib.nullcontext():
        connection.execute(
            "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES (%s, %s, %s)",
            (row_id, migration.checksum, migration.name),
        )
        try:
            connection.execute(migration.script)  # no parameters: one script of many statements, as Prisma sends it
        except psycopg.Error as error:
            if not migration.is_transactional and not connection.broken:
                connection.execute("UPDATE _prisma_migrations SET logs = %s WHERE id = %s", (str(error), row_id))
            raise
        connection.execute(
            "UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = %s",
            (row_id,),
        )


def apply_lab(connection: Connection, migration: Migration) -> None:
    """Apply one of the lab's migrations and record it, both or neither.

    Args:
        connection: Holds the lock; `lab.migrations` exists.
        migration: Not yet applied.

    Raises:
        psycopg.Error: PostgreSQL refused it.
    """
    with connection.transaction():
        connection.execute(migration.script)
        connection.execute(
            "INSERT INTO lab.migrations (name, checksum) VALUES (%s, %s)", (migration.name, migration.checksum)
        )


def migrate(connection: Connection, folder: Path | None, *, check: bool, retry: bool) -> dict[str, int]:
    """Bring the database up to date, or count what that would take.

    Args:
        connection: To the gateway's database, in autocommit mode.
        folder: The lab's own migrations, if any.
        check: Change nothing.
        retry: Apply half-finished migrations of LiteLLM again.

    Returns:
        Numbers of migrations `applied` now, still `pending`, and known (`shipped`).

    Raises:
        MigrationError: It cannot be done; everything applied before stays.
    """
    shipped, own = shipped_migrations(), lab_migrations(folder)
    if not check:
        take_lock(connection)
        connection.execute(CREATE_PRISMA_LEDGER)
        connection.execute(CREATE_LAB_LEDGER)
        settle_unfinished(connection, retry=retry)
    steps = [(apply_shipped, migration) for migration in pending_shipped(connection, shipped)]
    steps += [(apply_lab, migration) for migration in pending_lab(connection, own)]
    for apply, migration in [] if check else steps:
        try:
            apply(connection, migration)
        except psycopg.Error as error:
            remedy = "nothing of it was applied" if migration.is_transactional else "run migrate.py --retry"
            raise MigrationError(
                f"Migration {migration.name} failed:\n{str(error).strip()}\nCorrect the cause and run again ({remedy})."
            ) from error
    applied = 0 if check else len(steps)
    return {"applied": applied, "pending": len(steps) - applied, "shipped": len(shipped) + len(own)}


@contextlib.contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """Connect the way LiteLLM's URL says.

    Args:
        database_url: May carry Prisma's parameters.

    Yields:
        Connection in autocommit mode.

    Raises:
        MigrationError: The database does not answer, or the URL is wrong.
    """
    url, schema = split_url(database_url)
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        reason = redacted(str(error).strip(), database_url)
        raise MigrationError(f"Cannot use DATABASE_URL: {reason}\nStart the database or correct the URL.") from None
    with connection:
        connection.execute("SET client_min_messages = warning")
        if schema:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        yield connection


def redacted(text: str, database_url: str) -> str:
    """Blank the URL's password, which libpq quotes when it cannot decode it."""
    password = database_url.rpartition("@")[0].partition("://")[2].partition(":")[2]
    for secret in filter(None, (password, unquote(password))):
        text = text.replace(secret, "***")
    return text


def main() -> int:
    """Command line.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(description="Apply LiteLLM's and the lab's migrations to DATABASE_URL.")
    parser.add_argument(
        "--lab-migrations", type=Path, metavar="DIR", help="folder of 0001_name.sql, 0002_name.sql, ..."
    )
    parser.add_argument("--check", action="store_true", help="count only, change nothing")
    parser.add_argument("--retry", action="store_true", help="apply half-finished migrations of LiteLLM again")
    options = parser.parse_args()
    try:
        database_url = os.environ.get("DATABASE_URL")
        if not database_url:
            raise MigrationError("DATABASE_URL is not set: put the gateway's database URL into the environment.")
        with connected(database_url) as connection:
            counts = migrate(connection, options.lab_migrations, check=options.check, retry=options.retry)
    except MigrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
