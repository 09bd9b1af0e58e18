"""`python -m litellm_hub.people [DO …]`: make users, keys and the database's logins those of the list; print a table.

DO is one of: `block NAME …`, `unblock NAME …`, `key NAME …` (a new one), `budget NAME AMOUNT …`,
`password NAME …` (another first one), `end`. `--check` changes nothing.

Reads a JSON object from its input: `lab_home`, `hub_url`, `database` (an address after its `@`), `database_owner`,
`routes` (that keys may use), `default_budget`, `workbench` (its address where people sign in there by a password of the
lab's), and the new list as `csv`, or as `people` and `teams`. The list, the keys, the logins, the hand-outs and the
table as CSV are in LAB_HOME/people.

Prints a JSON object: `changes`, what was done in words, and `table`, lines of text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from litellm_hub.people.hub import Hub, HubError
from litellm_hub.people.logins import Logins, LoginsError, address, name_missing
from litellm_hub.people.overview import lines, overview, sheet
from litellm_hub.people.plan import Found, Plan, StrangerError, compare, token
from litellm_hub.people.printed import print_all
from litellm_hub.people.register import Register, hand_out, write
from litellm_hub.people.roster import Member, RosterError, table
from litellm_hub.people.spending import Spending

VERBS = "block NAME …, unblock NAME …, key NAME …, budget NAME AMOUNT …, password NAME …, end"


def secrets_of(home: Path) -> dict[str, str]:
    """The lab's secrets, which the services' account may read."""
    text = (home / "secrets.env").read_text()
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def change(register: Register, words: list[str]) -> None:
    """Change the register by a command of the teacher's.

    Raises:
        RosterError: It is none, or names nobody.
    """
    match words:
        case []:
            pass
        case ["block", _, *_]:
            register.block(*words[1:])
        case ["unblock", _, *_]:
            register.unblock(*words[1:])
        case ["key", _, *_]:
            register.renew(*words[1:])
        case ["budget", name, _, *_]:
            register.give(name, " ".join(words[2:]))
        case ["password", _, *_]:
            register.forget(*words[1:])
        case ["end"]:
            register.block(*register.people)
        case _:
            raise RosterError(f"{' '.join(words)}: there is no such command. There are {VERBS}")


def renewals(names: Iterable[str], register: Register, found: Found) -> dict[str, str]:
    """Who waits for the new key: by name, what LiteLLM knows the key by that it takes the place of."""
    waiting = [name for name in names if token(register.keys[name]) not in found.keys]
    there = {name: [old for old in register.former.get(name, []) if old in found.keys] for name in waiting}
    return {name: olds[-1] for name, olds in there.items() if olds}


def run(settings: dict[str, Any], words: list[str], check: bool) -> dict[str, Any]:
    """Take a list or a command over, and bring the gateway to it.

    Raises:
        RosterError, StrangerError, HubError, LoginsError, OSError, psycopg2.Error: It cannot be done; see the message.
    """
    home = Path(settings["lab_home"])
    folder = home / "people"
    file = folder / "people.json"
    register = Register.load(file)
    if settings.get("csv"):
        register.take(table(settings["csv"]), register.teams.values())
    elif settings.get("people"):
        register.take(settings["people"], settings.get("teams") or [])
    change(register, words)
    people, teams = register.members(settings["default_budget"])
    name_missing(register.logins, people)
    secrets = secrets_of(home)
    database = Logins(settings["database"], secrets["POSTGRES_REGISTRAR_PASSWORD"])
    hub = Hub(settings["hub_url"], secrets["LITELLM_MASTER_KEY"])
    found = hub.look()
    new_keys = renewals(people, register, found)
    done = [f"give {name} a new key" for name in new_keys]
    steps = database.compare(people, register.logins)
    if check:
        plan = _compared(people, teams, register, found, settings["routes"])
        done += [call.says for step in plan for chain in step for call in chain] + [step.says for step in steps]
        return {"changes": done, "table": []}
    register.save(file)  # before the gateway knows a key: what it knows is never lost
    owner = f"postgresql://{settings['database_owner']}@{settings['database']}"
    spending = Spending(owner, secrets["POSTGRES_PASSWORD"])
    for name, old in new_keys.items():
        hub.block(old)
        spending.copy(old, register.keys[name])
    if new_keys:
        found = hub.look()
    done += hub.carry_out(_compared(people, teams, register, found, settings["routes"])) + database.carry_out(steps)
    spending.carry({token(register.keys[name]): old for name, old in register.former.items() if name in people})
    model, workbench = hub.first_model(), settings.get("workbench", "")
    addresses = {name: address(register.logins[name], settings["database"]) for name in people}
    done += hand_out(
        folder, people, register.keys, addresses, settings["hub_url"], model, workbench, register.passwords
    )
    done += print_all(folder, [name for name in people if name not in register.blocked])
    rows = overview(people, register.keys, register.blocked, hub.look() if done else found, spending.windows())
    write(folder / "overview.csv", sheet(rows))
    return {"changes": done, "table": lines(rows)}


def _compared(
    people: dict[str, Member], teams: dict[str, Member], register: Register, found: Found, routes: list[str]
) -> Plan:
    return compare(people, teams, register.keys, register.blocked, found, routes, datetime.now(UTC))


def main() -> None:
    """Command line."""
    words = [word for word in sys.argv[1:] if word != "--check"]
    try:
        print(json.dumps(run(json.load(sys.stdin), words, "--check" in sys.argv)))
    except (RosterError, StrangerError, HubError, LoginsError, OSError, psycopg2.Error) as error:
        sys.exit(str(error).strip())


if __name__ == "__main__":
    main()
