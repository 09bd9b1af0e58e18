"""A database as the lab sets it up, in a scratch PostgreSQL: an owner who migrates it, and the notebooks' reader."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from tests.support import usage_truth

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "only-for-this-scratch-database"
PASSWORDS = ("POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD", "POSTGRES_REFRESHER_PASSWORD")
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
    done = subprocess.run(
        [
            *(scratch_postgres.bin_dir / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--set=database={name}"),
            *(f"--dbname={scratch_postgres.url}", f"--file={ROOT / 'litellm_hub/database/roles.sql'}"),
        ],
        env=LIMITS | dict.fromkeys(PASSWORDS, PASSWORD),
        check=True,
        capture_output=True,
        text=True,
    )
    return "\n".join(line for line in done.stdout.splitlines() if line.isupper())


def make_database(scratch_postgres: Any, gateway_env: Any, name: str) -> Database:
    """A database as the lab sets it up: an owner who migrates, and the reader."""
    make_roles(scratch_postgres, name)
    superuser = scratch_postgres.url_of(name)
    url = make_url(superuser).set(drivername="postgresql", password=PASSWORD)
    owner, reader = (url.set(username=role).render_as_string(hide_password=False) for role in ("litellm", "lab_reader"))
    subprocess.run(
        [
            gateway_env.python,
            ROOT / "litellm_hub/engine/migrate.py",
            "--lab-migrations",
            ROOT / "litellm_hub/migrations",
        ],
        env={**os.environ, "DATABASE_URL": owner},
        check=True,
        capture_output=True,
    )
    return Database(superuser, owner, reader)


def make_full_database(scratch_postgres: Any, gateway_env: Any, name: str) -> Database:
    """The same with the requests of `usage_truth`, and with tables such as later migrations may bring."""
    made = make_database(scratch_postgres, gateway_env, name)
    with create_engine(made.owner.replace("postgresql:", "postgresql+psycopg2:")).begin() as connection:
        usage_truth.write(connection, usage_truth.requests())
        connection.execute(text("CREATE TABLE public.made_later AS SELECT 1 AS secret"))
        connection.execute(text("CREATE TABLE lab.made_later AS SELECT 1 AS secret"))
    return made
