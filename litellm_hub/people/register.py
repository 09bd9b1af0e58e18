"""What the lab keeps of its people: the list, their keys, what was changed by hand, and a page for each to hand out."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from litellm_hub.people.plan import token
from litellm_hub.people.roster import BUDGET_REMEDY, Member, RosterError, budget, read

KEY_BYTES = 24
PASSWORD_BYTES = 9


@dataclass
class Register:
    """The people, kept in a file of mode 0600.

    Attributes:
        people: The list's fields by name.
        teams: The teams' fields by name.
        keys: Text of each person's key by name, also of those who left: who comes back has the same one.
        passwords: What opens each person's first sign-in at the workbench, by name.
        former: What LiteLLM knows the keys by that a person had before, by name, the latest last.
        blocked: Names whose keys were closed by hand.
        budgets: Budgets that were given by hand, by name, and what the list said then.
        logins: `login` and `password` in the database by name, kept as the keys are.
    """

    people: dict[str, dict[str, str]] = field(default_factory=dict)
    teams: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    former: dict[str, list[str]] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    budgets: dict[str, dict[str, str]] = field(default_factory=dict)
    logins: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Register:
        """Read it; an empty one where there is none."""
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def save(self, file: Path) -> None:
        """Replace the file as a whole."""
        write(file, json.dumps(vars(self), indent=1, sort_keys=True) + "\n")

    def take(self, people: Iterable[Mapping[str, object]], teams: Iterable[Mapping[str, object]]) -> None:
        """Take a list over in place of the one before. A budget given by hand holds until the list says another.

        Raises:
            RosterError: Something is wrong with the list; nothing is taken.
        """
        listed, grouped = list(people), list(teams)
        read(listed, grouped)
        self.people, self.teams = ({str(row["name"]): _text(row) for row in rows} for rows in (listed, grouped))
        for name, given in list(self.budgets.items()):
            if self.people.get(name, {}).get("budget", "") != given["listed"]:
                del self.budgets[name]

    def members(self, default_budget: str) -> tuple[dict[str, Member], dict[str, Member]]:
        """People and teams as they shall be; makes the keys that are missing."""
        rows = [
            row | {"budget": self.budgets.get(name, {}).get("given", row.get("budget", ""))}
            for name, row in self.people.items()
        ]
        people, teams = read(rows, self.teams.values(), default_budget)
        for name in people:
            self.keys.setdefault(name, _new_key())
            self.passwords.setdefault(name, secrets.token_urlsafe(PASSWORD_BYTES))
        return people, teams

    def block(self, *names: str) -> None:
        """Close keys until they are unblocked.

        Raises:
            RosterError: There is no such person.
        """
        self.blocked = sorted({*self.blocked, *map(self._known, names)})

    def unblock(self, *names: str) -> None:
        """Open keys again. Raises RosterError where there is no such person."""
        self.blocked = sorted(set(self.blocked) - set(map(self._known, names)))

    def forget(self, *names: str) -> None:
        """Give people another first password, which takes the place of the one they chose.

        Raises:
            RosterError: There is no such person.
        """
        for name in map(self._known, names):
            self.passwords.pop(name, None)

    def renew(self, *names: str) -> None:
        """Give new keys in place of those that people have. Raises RosterError where there is no such person."""
        for name in dict.fromkeys(map(self._known, names)):
            if name in self.keys:
                self.former.setdefault(name, []).append(token(self.keys[name]))
            self.keys[name] = _new_key()

    def give(self, name: str, amounts: str) -> None:
        """Give a person another budget than the list does.

        Raises:
            RosterError: There is no such person, or that is no budget.
        """
        try:
            budget(amounts)
        except ValueError:
            raise RosterError(f"budget={amounts}: {BUDGET_REMEDY}") from None
        listed = self.people[self._known(name)].get("budget", "")
        self.budgets[name] = {"given": amounts, "listed": listed}

    def _known(self, name: str) -> str:
        if name not in self.people:
            raise RosterError(f"{name}: nobody on the list has that name. There are {', '.join(self.people) or 'none'}")
        return name


def _new_key() -> str:
    return f"sk-{secrets.token_urlsafe(KEY_BYTES)}"


def _text(row: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value).strip() for name, value in row.items() if value not in (None, "")}


def write(file: Path, text: str) -> bool:
    """Write a file that its owner alone reads, as a whole; tell whether it has changed."""
    if file.exists() and file.read_text() == text:
        return False
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    beside.replace(file)
    return True


PAGE = """# {name}

Your access to the lab's models. The key is yours alone: who has it spends your budget.

    key        {key}
    address    {hub}/v1
    team       {team}
    budget     {budget}
    valid      {until}

With Python (`pip install openai`):

    from openai import OpenAI
    client = OpenAI(base_url="{hub}/v1", api_key="{key}")
    print(client.responses.create(model="{model}", input="Hello").output_text)

In the lab's notebooks:

    from widgets import ChatPanel
    ChatPanel(api_key="{key}")

Your own requests in the lab's log, with pandas on the lab's machine (the login is yours alone, too):

    import pandas as pd
    database = "{database}"
    pd.read_sql("SELECT * FROM lab.usage_log ORDER BY started_at DESC", database)
"""

WORKBENCH_PAGE = """
Your own notebooks, in the browser:

    address    {workbench}
    name       {name}
    password   {password}

The password is for the first visit: you choose one of your own there.
"""


def hand_out(
    folder: Path,
    people: Mapping[str, Member],
    keys: Mapping[str, str],
    databases: Mapping[str, str],
    hub_url: str,
    model: str,
    workbench: str = "",
    passwords: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Write a page for each person, and remove those of people who left.

    Args:
        folder: Where the pages lie.
        people: The people by name.
        keys: Their keys by name.
        databases: Address of the database with their own logins, by name.
        hub_url: The gateway's address.
        model: Name of a model for the example.
        workbench: Address of the workbench where people sign in by a password of the lab's; empty where they do not.
        passwords: What opens each person's first sign-in there, by name.

    Returns:
        What was done, in words.
    """
    done = []
    for name, person in people.items():
        until = person.until.isoformat() if person.until else "for ever"
        text = PAGE.format(
            name=name, key=keys[name], hub=hub_url, team=person.team, model=model, until=until, budget=told(person),
            database=databases[name],
        )  # fmt: skip
        if workbench:
            text += WORKBENCH_PAGE.format(workbench=workbench, name=name, password=passwords[name])
        if write(folder / f"{name}.md", text):
            done.append(f"write {name}.md")
    for page in sorted(folder.glob("*.md")):
        if page.stem not in people:
            page.unlink()
            done.append(f"remove {page.name}")
    return done


def told(person: Member) -> str:
    """A budget in words."""
    return (
        ", ".join(f"{limit['max_budget']:g} in {limit['budget_duration']}" for limit in person.windows)
        or "without limit"
    )
