"""A login to the database for each person, which sees the person's own usage: made, kept as it shall be, and closed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import encrypt_password

from litellm_hub.people.roster import Member

REGISTRAR = "lab_registrar"
GROUP = "lab_person"
CONNECTIONS = 6  # of a person at a time: three notebooks with the usage library
SETTINGS = {"default_transaction_read_only": "on", "statement_timeout": "30s", "temp_file_limit": "512MB"}
CONNECT_TIMEOUT_S = 5

Login = dict[str, str]


class LoginsError(Exception):
    """The database does not do what it was asked for; the message says what it said."""


@dataclass(frozen=True)
class Step:
    """A change in the database.

    Attributes:
        says: What it does, in words.
        statements: In their order.
    """

    says: str
    statements: Sequence[sql.Composable]


def name_missing(logins: MutableMapping[str, Login], people: Mapping[str, Member]) -> None:
    """Choose login and password of those who have none. Every login can see the others': they tell no names."""
    for name in people:
        if name not in logins:
            logins[name] = {"login": f"p_{secrets.token_hex(6)}", "password": secrets.token_urlsafe(24)}


def address(login: Login, place: str) -> str:
    """The database's address for a person.

    Args:
        login: The person's.
        place: Host, port, database and parameters, as they stand in an address.
    """
    return f"postgresql://{quote(login['login'])}:{quote(login['password'])}@{place}"


class Logins:
    """The database, as the registrar of people.

    Args:
        place: Host, port, database and parameters, as they stand in an address.
        password: The registrar's.
    """

    def __init__(self, place: str, password: str) -> None:
        self._place = place
        self._own = {"login": REGISTRAR, "password": password}

    def compare(self, people: Mapping[str, Member], logins: Mapping[str, Login]) -> list[Step]:
        """Compare what shall be with what the database has.

        Args:
            people: Those who shall have a login: students see their own requests, teachers those of their team as well.
            logins: Login and password by name, also of people who are on the list no more.

        Returns:
            What to do. No login is ever dropped: who leaves cannot log in and sees nothing.

        Raises:
            LoginsError: The database does not answer, or refuses.
        """
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(_FOUND, (GROUP,))
            found = {row[0]: row[1:] for row in cursor.fetchall()}
            steps = []
            for name, login in logins.items():
                there = found.get(login["login"])
                if name not in people:
                    if there is not None and there != _closed(there):
                        steps.append(Step(f"close {name}'s login", _close(login)))
                    continue
                person = people[name]
                teams = [person.team] if person.role == "teacher" else []
                statements = [] if there else _make(login, connection)
                statements += _correct(login, there, name, teams)
                if there and not (there[0] and self._opens(login)):
                    statements.append(_password(login, connection))
                if statements:
                    verb = "change" if there else "make"
                    steps.append(Step(f"{verb} {name}'s login", statements))
        return steps

    def carry_out(self, steps: Sequence[Step]) -> list[str]:
        """Make the changes, all or none.

        Returns:
            What was done, in words.

        Raises:
            LoginsError: The database does not answer, or refuses.
        """
        if steps:
            with self._connected() as connection, connection.cursor() as cursor:
                for step in steps:
                    for statement in step.statements:
                        cursor.execute(statement)
        return [step.says for step in steps]

    @contextmanager
    def _connected(self) -> Iterator[extensions.connection]:
        try:
            connection = psycopg2.connect(address(self._own, self._place), connect_timeout=CONNECT_TIMEOUT_S)
            try:
                with connection:  # one transaction
                    yield connection
            finally:
                connection.close()
        except psycopg2.Error as error:
            raise LoginsError(f"The database, asked as {REGISTRAR}: {str(error).strip()}") from error

    def _opens(self, login: Login) -> bool:
        """Whether the password is as it should be: that cannot be seen, and everybody can change one's own."""
        try:
            psycopg2.connect(address(login, self._place), connect_timeout=CONNECT_TIMEOUT_S).close()
        except psycopg2.OperationalError as error:
            return "password authentication failed" not in str(error)
        return True


# What each login has: whether it may log in, its limit of connections, what of the settings is its own, of which
# databases besides, whether it is in the group and can act as it, and whose requests it sees.
_FOUND = """
SELECT login.rolname, login.rolcanlogin, login.rolconnlimit,
    (SELECT array_agg(setting ORDER BY setting) FROM pg_db_role_setting, unnest(setconfig) AS setting
     WHERE setrole = login.oid AND setdatabase = 0),
    ARRAY(SELECT datname::text FROM pg_db_role_setting JOIN pg_database AS base ON base.oid = setdatabase
     WHERE setrole = login.oid ORDER BY 1),
    known.user_id, known.teams
FROM pg_roles AS login
JOIN pg_auth_members AS membership ON membership.member = login.oid
JOIN pg_roles AS people ON people.oid = membership.roleid AND people.rolname = %s
LEFT JOIN lab.people AS known ON known.login = login.rolname
"""
_WANTED = sorted(f"{name}={value}" for name, value in SETTINGS.items())


def _closed(there: tuple[Any, ...]) -> tuple[Any, ...]:
    return (False, *there[1:4], None, None)


def _close(login: Login) -> list[sql.Composable]:
    role = sql.Identifier(login["login"])
    return [
        sql.SQL("ALTER ROLE {} NOLOGIN").format(role),
        sql.SQL("DELETE FROM lab.people WHERE login = {}").format(sql.Literal(login["login"])),
    ]


def _make(login: Login, connection: extensions.connection) -> list[sql.Composable]:
    role = sql.Identifier(login["login"])
    return [
        sql.SQL("CREATE ROLE {}").format(role),
        _password(login, connection),
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(GROUP), role),
    ]


def _password(login: Login, connection: extensions.connection) -> sql.Composable:
    """Sent as PostgreSQL keeps it, so that no log of the database can have it in clear."""
    verifier = encrypt_password(login["password"], login["login"], connection, "scram-sha-256")
    return sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login["login"]), sql.Literal(verifier))


def _correct(login: Login, there: tuple[Any, ...] | None, user_id: str, teams: Sequence[str]) -> list[sql.Composable]:
    role = sql.Identifier(login["login"])
    can_login, limit, settings, bases, known_as, known_teams = there or (False, -1, None, [], None, None)
    statements: list[sql.Composable] = []
    if not can_login or limit != CONNECTIONS:
        statements.append(sql.SQL("ALTER ROLE {} LOGIN CONNECTION LIMIT {}").format(role, sql.Literal(CONNECTIONS)))
    if settings != _WANTED:
        statements.append(sql.SQL("ALTER ROLE {} RESET ALL").format(role))
        statements += [
            sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), sql.Literal(value))
            for name, value in SETTINGS.items()
        ]
    statements += [
        sql.SQL("ALTER ROLE {} IN DATABASE {} RESET ALL").format(role, sql.Identifier(base)) for base in bases
    ]
    if known_as != user_id or known_teams != list(teams):
        statements.append(
            sql.SQL(
                "INSERT INTO lab.people (login, user_id, teams) VALUES ({}, {}, {}::text[])"
                " ON CONFLICT (login) DO UPDATE SET user_id = excluded.user_id, teams = excluded.teams"
            ).format(sql.Literal(login["login"]), sql.Literal(user_id), sql.Literal(list(teams)))
        )
    return statements
