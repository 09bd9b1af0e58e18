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


@dataclass(frozen=True)
class Database:
    superuser: str
    owner: str
    reader: str


def make_database(scratch_postgres: Any, gateway_env: Any, name: str) -> Database:
    """A database as the lab sets it up: an owner who migrates, and the reader."""
    url = make_url(scratch_postgres.create_database(name)).set(drivername="postgresql")
    superuser = url.render_as_string(hide_password=False)
    with create_engine(url.set(drivername="postgresql+psycopg2")).begin() as connection:
        for role in ("usage_owner", "lab_reader", "lab_refresher"):
            known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar()
            connection.execute(text(f"{'ALTER' if known else 'CREATE'} ROLE {role} LOGIN PASSWORD '{PASSWORD}'"))
        connection.execute(text(f'ALTER DATABASE "{url.database}" OWNER TO usage_owner'))
    owner, reader = (
        url.set(username=role, password=PASSWORD).render_as_string(hide_password=False)
        for role in ("usage_owner", "lab_reader")
    )
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
