"""A PostgreSQL server of the test run's own."""

from __future__ import annotations

from dataclasses import dataclass

from litellm_hub.usage.demo.postgres import Server


@dataclass
class ScratchPostgres(Server):
    """A server on loopback, which tests may stop and start; there is no password.

    Attributes:
        port: Free TCP port on loopback.
    """

    port: int

    @property
    def settings(self) -> str:
        return (
            f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.home}'\n"
            "fsync = off\nmax_connections = 100\n"
        )

    def url_of(self, database: str, role: str = "postgres") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def restart(self) -> None:
        """Stop as a crash would, start, and wait until it answers."""
        self.stop()
        self.start()
