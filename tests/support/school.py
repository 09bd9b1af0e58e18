"""A class of people with real logins, and a log of theirs and of others."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from litellm_hub.gateway import rollup
from litellm_hub.people.logins import Login, Logins, address, name_missing
from litellm_hub.people.roster import Member
from tests.support.lab import ROOT
from tests.support.usage_database import PASSWORD, Database

PEOPLE = {
    name: Member(name, team, role)
    for name, team, role in (
        ("anna-of-the-class", "team-of-anna", "student"),
        ("ben-of-the-class", "team-of-anna", "student"),
        ("carla-who-teaches", "team-of-anna", "teacher"),
        ("dora-of-another", "team-of-dora", "student"),
    )
}
ANNA, BEN, CARLA, DORA = PEOPLE
MANY = [f"user-{number}" for number in range(60)]
TEAMS = ["team-of-anna", "team-of-dora", *(f"team-{number}" for number in range(10))]
NOW = datetime.now(UTC).replace(tzinfo=None)
_ROW = (
    'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, spend, total_tokens, prompt_tokens,'
    ' completion_tokens, "startTime", "endTime", model_group, "user", team_id, status, response, proxy_server_request)'
    " VALUES (%s, 'acompletion', %s, 0.1, 3, 2, 1, %s, %s, 'small', %s, %s, 'success', %s, %s)"
)


@dataclass
class Class:
    """The database, its people's logins, and who made them."""

    database: Database
    logins: dict[str, Login] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return self.database.reader.rpartition("@")[2]

    @property
    def registrar(self) -> Logins:
        return Logins(self.place, PASSWORD)

    def bring(self, people: dict[str, Member]) -> list[str]:
        name_missing(self.logins, people)
        return self.registrar.carry_out(self.registrar.compare(people, self.logins))

    def url(self, who: str) -> str:
        known = {
            "postgres": self.database.superuser,
            "litellm": self.database.owner,
            "lab_reader": self.database.reader,
        }
        if who == "lab_registrar":
            return address({"login": who, "password": PASSWORD}, self.place)
        return known.get(who) or address(self.logins[who], self.place)

    @contextmanager
    def session(self, who: str) -> Iterator[Any]:
        """A session that has lifted what it can lift; nothing it does stays."""
        with closing(psycopg2.connect(self.url(who))) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; SET statement_timeout = 0")
            connection.commit()
            yield cursor
            connection.rollback()

    def ask(self, who: str, statement: str, *values: object) -> list[Any]:
        with self.session(who) as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())


def token_of(user: str) -> str:
    return hashlib.sha256(f"sk-{user}".encode()).hexdigest()


def fill(cursor: Any) -> None:
    """Teams, users, keys, and 4000 requests of theirs and of nobody's; every prompt is stored."""
    dice = random.Random(5)
    team_of = {name: person.team for name, person in PEOPLE.items()} | {user: dice.choice(TEAMS) for user in MANY}
    for team in TEAMS:
        cursor.execute(
            'INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, max_budget) VALUES (%s, %s, 9)',
            (team, f"alias-{team}"),
        )
    for user, team in team_of.items():
        cursor.execute(
            'INSERT INTO "LiteLLM_UserTable" (user_id, teams, max_budget) VALUES (%s, %s, 5)', (user, [team])
        )
        cursor.execute(
            'INSERT INTO "LiteLLM_VerificationToken" (token, key_alias, user_id, team_id, max_budget)'
            " VALUES (%s, %s, %s, %s, 5)",
            (token_of(user), user, user, team),
        )
    owners = [*team_of, *([ANNA, BEN, CARLA, DORA] * 5), "", None]
    rows = []
    for number in range(4000):
        user = dice.choice(owners)
        team = team_of.get(user or "", dice.choice([None, *TEAMS]))
        if user not in PEOPLE and dice.random() < 0.1:  # who has moved has requests in an earlier team as well
            team = dice.choice(TEAMS)
        began = NOW - timedelta(minutes=dice.randrange(60 * 24 * 5))
        said = f'{{"messages": ["prompt of {user}"]}}'
        rows.append((f"r{number}", token_of(user or ""), began, began + timedelta(seconds=1), user, team, said, said))
    cursor.executemany(_ROW, rows)


@contextmanager
def opened(scratch_postgres: Any, made: Database, name: str) -> Iterator[Class]:
    """Logins as the lab makes them, let in by the line of the lab's own pg_hba.conf."""
    rules = Path(scratch_postgres.data, "pg_hba.conf")
    before = rules.read_text()
    lab = (ROOT / "litellm_hub/deploy/database/pg_hba.conf").read_text().splitlines()
    [line] = [line for line in lab if line.startswith("host")]
    rules.write_text(f"{line.replace(' litellm ', f' {name} ')}\nhost {name} postgres 127.0.0.1/32 trust\n"
                     f"host {name} all 127.0.0.1/32 reject\n{before}")  # fmt: skip
    made_up = Class(made)
    with closing(psycopg2.connect(made.superuser)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT pg_reload_conf()")
    with closing(psycopg2.connect(made.owner)) as connection, connection.cursor() as cursor:
        fill(cursor)
        connection.commit()
        rollup.refresh(connection)
    with closing(psycopg2.connect(made.superuser)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("ANALYZE")
    made_up.bring(PEOPLE)
    try:
        yield made_up
    finally:
        rules.write_text(before)
        with closing(psycopg2.connect(made.superuser)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for login in made_up.logins.values():
                cursor.execute(f"DROP OWNED BY {login['login']}; DROP ROLE {login['login']}")
            cursor.execute("SELECT pg_reload_conf()")
