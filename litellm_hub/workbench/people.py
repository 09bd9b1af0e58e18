"""Who has a workbench, as the hub reads it at every sign-in and start: a change of the list needs no restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

TEACHER = "teacher"


@dataclass(frozen=True)
class Person:
    """A person of the list.

    Attributes:
        name: Name at the sign-in.
        account: Account of the host that the server runs as.
        team: The person's team.
        role: `student` or `teacher`.
        key: The person's key in the gateway.
        database_url: The person's own login in the usage log; empty where there is none.
        first_password: What opens the first sign-in, where the lab keeps the passwords.
        until: The last day, such as 2027-07-31; empty for ever.
    """

    name: str
    account: str
    team: str
    role: str
    key: str
    database_url: str = ""
    first_password: str = ""
    until: str = ""

    def valid(self, today: date) -> bool:
        """Whether the last day has not passed."""
        return not self.until or today <= date.fromisoformat(self.until)


def from_register(register: Mapping[str, Any], prefix: str, database_place: str) -> dict[str, Person]:
    """The people of a class's register who may work: nobody whose key was closed by hand.

    Args:
        register: What LAB_HOME/people/people.json holds.
        prefix: What the names of their accounts begin with.
        database_place: Host, port, database and rules of the usage log.
    """
    logins = register.get("logins", {})
    return {
        name: Person(
            name=name,
            account=prefix + name,
            team=row["team"],
            role=row.get("role") or "student",
            key=register["keys"][name],
            database_url=_url(logins[name], database_place) if name in logins else "",
            first_password=register.get("passwords", {}).get(name, ""),
            until=row.get("until", ""),
        )
        for name, row in register.get("people", {}).items()
        if name not in register.get("blocked", [])
    }


def _url(login: Mapping[str, str], place: str) -> str:
    return f"postgresql+psycopg2://{quote(login['login'])}:{quote(login['password'], safe='')}@{place}"


def load(file: Path) -> dict[str, Person]:
    """Read them by name; nobody where there is no such file."""
    rows = json.loads(file.read_text()) if file.exists() else {}
    return {name: Person(**row) for name, row in rows.items()}


def text(people: Mapping[str, Person]) -> str:
    """What `load` reads."""
    return json.dumps({name: asdict(person) for name, person in people.items()}, indent=1, sort_keys=True) + "\n"
