"""Open the usage log, and say in plain words why it cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from litellm_hub.usage.errors import (
    LogLoginRefused,
    LogNotConfigured,
    LogNotReady,
    LogUnreachable,
    QueryTooSlow,
    UsageError,
)

CONNECT_TIMEOUT = 5
"""Seconds until a host that does not answer counts as unreachable."""

# libpq gives no SQLSTATE for a refused connection, so its (untranslated) words have to do.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
    "is not permitted to log in",
)
_TOO_MANY = "too many connections for role"
_UNPROVEN = "authentication method requirement"  # of require_auth in the address: the server does not meet it
_BY_SQLSTATE: dict[str, tuple[type[UsageError], str]] = {
    "57014": (QueryTooSlow, "The query took longer than the time limit of this connection."),
    "42P01": (LogNotReady, "The database has no usage log."),
    "3F000": (LogNotReady, "The database has no usage log."),
    "42501": (LogNotReady, "This database user may not read the usage log."),
    "28P01": (LogLoginRefused, "The database refuses this user or password."),
}


def connect(url: str | None = None, *, statement_timeout: float = 30.0) -> Engine:
    """Open the usage log and check that it answers.

    Args:
        url: Address of the hub's database, `postgresql://user:password@host:port/database`; default: the environment
            variable LAB_DATABASE_URL.
        statement_timeout: Seconds after which PostgreSQL gives up a statement, above 0.

    Returns:
        A SQLAlchemy engine whose sessions are read-only and in UTC. It survives a restart of the database.

    Raises:
        LogNotConfigured: No address, or not one of a PostgreSQL database.
        LogUnreachable: Nothing answers there within 5 seconds.
        LogLoginRefused: User, password or database name are refused.
        ValueError: `statement_timeout` is not above 0 (for PostgreSQL, 0 would mean no limit).
    """
    if statement_timeout <= 0:
        raise ValueError(f"statement_timeout is {statement_timeout}: give seconds above 0")
    settings = {
        "statement_timeout": max(1, round(statement_timeout * 1000)),
        "timezone": "UTC",
        "default_transaction_read_only": "on",
    }
    engine = create_engine(
        _target(os.environ.get("LAB_DATABASE_URL", "") if url is None else url),
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            "application_name": "litellm_hub.usage",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=2,
        hide_parameters=True,
    )
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Lend a connection, and turn the driver's errors into the ones of this package.

    Args:
        engine: What `connect` returned.

    Yields:
        A connection inside a read-only transaction.

    Raises:
        UsageError: The subclass that fits.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except PoolTimeout as error:
        raise LogUnreachable("All connections of this process to the usage log are busy.", detail=str(error)) from error
    except DBAPIError as error:
        raise _translated(error, engine) from error


def _target(address: str) -> URL:
    if not address.strip():
        raise LogNotConfigured("LAB_DATABASE_URL is not set.")
    try:
        target = make_url(address.strip())
    except (ArgumentError, ValueError):
        # Without the cause: its text may hold the password.
        raise LogNotConfigured("LAB_DATABASE_URL is not a database address.") from None
    if target.drivername.partition("+")[0] not in {"postgresql", "postgres"}:
        raise LogNotConfigured(f"LAB_DATABASE_URL leads to {target.drivername}, the usage log is in PostgreSQL.")
    # SQLAlchemy's own choice of a driver differs between its versions.
    return target.set(drivername="postgresql+psycopg2")


def _translated(error: DBAPIError, engine: Engine) -> UsageError:
    detail = str(error.orig).strip()
    known = _BY_SQLSTATE.get(getattr(error.orig, "pgcode", None) or "")
    if known:
        kind, reason = known
        return kind(reason, detail=detail)
    if getattr(error.orig, "pgcode", None):
        return UsageError(f"The usage log cannot be read: {detail.splitlines()[0]}", detail=detail)
    if _TOO_MANY in detail:
        return LogUnreachable(
            f"User {engine.url.username!r} holds as many connections to the usage log as one may.",
            "Shut down kernels that you need no longer.",
            detail=detail,
        )
    place = f"{engine.url.host or 'localhost'}:{engine.url.port or 5432}"
    if any(words in detail for words in _REFUSALS):
        return LogLoginRefused(
            f"The database at {place} refuses user {engine.url.username!r} for database {engine.url.database!r}.",
            detail=detail,
        )
    if _UNPROVEN in detail:
        return LogUnreachable(f"Something else than the hub's database answers at {place}.", detail=detail)
    return LogUnreachable(f"The database at {place} does not answer.", detail=detail)
