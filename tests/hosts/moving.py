"""A lab on its way from processes into containers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from tests.hosts.machine import docker
from tests.support.lab import Lab, playbook, wait_until

KEYS = 'SELECT token, key_alias, spend, max_budget FROM "LiteLLM_VerificationToken"'
ROWS = 'SELECT request_id, api_key, model, spend, prompt_tokens, "startTime" FROM "LiteLLM_SpendLogs"'


@dataclass
class Moving:
    """The lab, and what was seen of it before."""

    lab: Lab
    variables: dict[str, Any]
    key: str
    answered: list[str] = field(default_factory=list)

    def play(self, name: str = "site", **variables: Any) -> subprocess.CompletedProcess[str]:
        return playbook(name, self.variables | variables)

    def query(self, sql: str) -> set[tuple[Any, ...]]:
        with psycopg2.connect(self.lab.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return set(cursor.fetchall())

    def ask(self) -> None:
        """One completion by the virtual key; its row must be in the log from now on."""
        body: dict[str, object] = {"model": "smollm2", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        self.answered.append(self.lab.hub("/v1/chat/completions", body, key=self.key)["id"])

    def wait_for_rows(self) -> None:
        """Wait until each answered request has its row."""
        wait_until(lambda: {row[0] for row in self.query(ROWS)} >= set(self.answered), 60, "all rows")

    @property
    def project(self) -> str:
        return next(
            line.partition("=")[2]
            for line in (self.lab.home / "hub.env").read_text().splitlines()
            if line.startswith("LAB_NAME=")
        )

    def containers(self) -> dict[str, str]:
        """State by name of the lab's containers."""
        label = f"label=com.docker.compose.project={self.project}"
        listed = docker("ps", "-a", "--no-trunc", "--filter", label, "--format", "{{.ID}} {{.State}}")
        return dict(line.split() for line in listed.splitlines())

    def volumes(self) -> list[str]:
        return docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={self.project}").split()
