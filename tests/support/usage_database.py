"""A database as the lab sets it up, in a scratch PostgreSQL: an owner who migrates it, and the notebooks' reader."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import NullPool, create_engine, make_url, text

from litellm_hub.gateway import rollup
from tests.support import usage_truth

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "only-for-this-scratch-database"
PASSWORDS = ("POSTGRES_PASSWORD", *(f"POSTGRES_{role}_PASSWORD" for role in ("READER", "REFRESHER", "REGISTRAR")))
LIMITS = {
    "POSTGRES_READER_CONNECTIONS": "60",  # of all tests that share the server
    "POSTGRES_READER_TEMP_FILES": "1GB",
    "POSTGRES_READER_TIMEOUT": "30s",
}


@dataclass(frozen=True)
class Database:
    superuser: str
    owner: str
    reader: str


def make_roles(scratch_postgres: Any, name: str) -> str:
    """Run what makes a lab's roles, its database and their limits, as every run of the playbook does.

    Args:
        scratch_postgres: The server.
        name: The database.

    Returns:
        What was changed, a line each.
    """
    done = scratch_postgres.psql(
        scratch_postgres.url,
        f"--set=database={name}",
        f"--file={ROOT / 'litellm_hub/deploy/database/roles.sql'}",
        environment=LIMITS | dict.fromkeys(PASSWORDS, PASSWORD),
    )
    return "\n".join(line for line in done.splitlines() if line.isupper())


def make_database(scratch_postgres: Any, gateway_env: Any, name: str) -> Database:
    """A database as the lab sets it up: an owner who migrates, and the reader."""
    return _copied(scratch_postgres, _migrated(scratch_postgres, gateway_env), name)


def make_full_database(scratch_postgres: Any, gateway_env: Any, name: str, *, rolled_up: bool = False) -> Database:
    """The same with the requests of `usage_truth`, and with tables such as later migrations may bring.

    Args:
        scratch_postgres: The server.
        gateway_env: Whose environment has the migrations' applier.
        name: The database.
        rolled_up: Whether the roll-up holds the requests, too.
    """
    template = "template_rolled_up" if rolled_up else "template_full"
    if not _exists(scratch_postgres, template):
        made = make_database(scratch_postgres, gateway_env, template)
        engine = create_engine(made.owner.replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
        with engine.begin() as connection:
            usage_truth.write(connection, usage_truth.requests())
            connection.execute(text("CREATE TABLE public.made_later AS SELECT 1 AS secret"))
            connection.execute(text("CREATE TABLE lab.made_later AS SELECT 1 AS secret"))
        if rolled_up:
            with closing(psycopg2.connect(made.owner)) as connection:
                rollup.refresh(connection)
    return _copied(scratch_postgres, template, name)


def _migrated(scratch_postgres: Any, gateway_env: Any) -> str:
    """Make the template of all databases once, whose migrations take seconds; return its name."""
    name = "template_empty"
    if not _exists(scratch_postgres, name):
        make_roles(scratch_postgres, name)
        migrate = [gateway_env.python, ROOT / "litellm_hub/gateway/engine/migrate.py", "--lab-migrations"]
        environment = {**os.environ, "DATABASE_URL": _database(scratch_postgres, name).owner}
        command = [*migrate, ROOT / "litellm_hub/gateway/migrations"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    return name


def _copied(scratch_postgres: Any, template: str, name: str) -> Database:
    _run(scratch_postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER litellm')
    # The database's own rights, which a migration changed, are not copied.
    rights = f"(SELECT datacl FROM pg_database WHERE datname = '{template}')"
    _run(scratch_postgres, f"UPDATE pg_database SET datacl = {rights} WHERE datname = '{name}'")
    return _database(scratch_postgres, name)


def _database(scratch_postgres: Any, name: str) -> Database:
    superuser = scratch_postgres.url_of(name)
    url = make_url(superuser).set(drivername="postgresql", password=PASSWORD)
    owner, reader = (url.set(username=role).render_as_string(hide_password=False) for role in ("litellm", "lab_reader"))
    return Database(superuser, owner, reader)


def _exists(scratch_postgres: Any, name: str) -> bool:
    return bool(_run(scratch_postgres, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"))


def _run(scratch_postgres: Any, statement: str) -> list[Any]:
    with closing(psycopg2.connect(scratch_postgres.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # databases are made outside of transactions
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
