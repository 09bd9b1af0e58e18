"""A PostgreSQL server of the test run's own."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

UNPRIVILEGED_ACCOUNT = "nobody"  # PostgreSQL refuses to run as root


@dataclass
class ScratchPostgres:
    """A PostgreSQL server of the test run's own, which tests may stop and start.

    Attributes:
        bin_dir: Folder of initdb, pg_ctl and postgres; the unprivileged account must be able to read it.
        home: Empty folder for the data, the socket and the log.
        port: Free TCP port on loopback.
    """

    bin_dir: Path
    home: Path
    port: int
    account: dict[str, object] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """URL of the superuser; there is no password, only loopback is trusted."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """URL of the superuser for one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the cluster; its data need not survive the machine, so nothing is flushed to disk."""
        if os.geteuid() == 0:
            entry = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
            os.chown(self.home, entry.pw_uid, entry.pw_gid)
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.call("initdb", "--pgdata", self.data, "--username", "postgres", "--auth", "trust", "--no-sync")
        with (self.home / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.home}'\n"
                "fsync = off\nmax_connections = 100\n"
            )

    @property
    def data(self) -> str:
        """The data folder, as an argument."""
        return str(self.home / "data")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.call("pg_ctl", "start", "--wait", "--pgdata", self.data, "--log", str(self.home / "log"))

    def stop(self) -> None:
        """Stop the server as a crash would: connections are cut, nothing is written first."""
        self.call("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", self.data)

    def restart(self) -> None:
        """Stop as a crash would, start, and wait until it answers."""
        self.stop()
        self.start()

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

    def call(self, program: str, *arguments: str) -> None:
        # The server inherits standard output: with a pipe, the call would last as long as the server.
        result = subprocess.run(  # type: ignore[call-overload]
            [self.bin_dir / program, *arguments],
            cwd=self.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **self.account,
        )  # fmt: skip
        if result.returncode != 0:
            log = self.home / "log"
            raise RuntimeError(f"{program} ended with {result.returncode}:\n{log.read_text() if log.exists() else ''}")
