"""`python -m litellm_hub.people [DO …]`: make users, keys and the database's logins those of the list; print a table.

DO is one of: `block NAME …`, `unblock NAME …`, `budget NAME AMOUNT …`, `end`. `--check` changes nothing.

Reads a JSON object from its input: `lab_home`, `hub_url`, `database` (an address after its `@`), `routes` (that keys
may use), `default_budget`, and the new list as `csv`, or as `people` and `teams`. The list, the keys, the logins and
the hand-outs are in LAB_HOME/people.

Prints a JSON object: `changes`, what was done in words, and `table`, lines of text.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from litellm_hub.people.hub import Hub, HubError
from litellm_hub.people.logins import Logins, LoginsError, address, name_missing
from litellm_hub.people.plan import Found, StrangerError, compare, token
from litellm_hub.people.register import Register, hand_out, told
from litellm_hub.people.roster import Member, RosterError, table

VERBS = "block NAME …, unblock NAME …, budget NAME AMOUNT …, end"


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
        case ["budget", name, _, *_]:
            register.give(name, " ".join(words[2:]))
        case ["end"]:
            register.block(*register.people)
        case _:
            raise RosterError(f"{' '.join(words)}: there is no such command. There are {VERBS}")


def shown(people: dict[str, Member], register: Register, found: Found) -> list[str]:
    """The teacher's table, a line for each person."""
    lines = [("NAME", "TEAM", "ROLE", "BUDGET", "SPENT", "LAST USE", "")]
    for name, person in sorted(people.items(), key=lambda item: (item[1].team, item[0])):
        key = found.keys.get(token(register.keys[name]), {})
        used = str(key.get("last_active") or "never")[:16].replace("T", " ")
        state = "blocked" if name in register.blocked else ""
        lines.append((name, person.team, person.role, told(person), f"{key.get('spend') or 0:.3g}", used, state))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def run(settings: dict[str, Any], words: list[str], check: bool) -> dict[str, Any]:
    """Take a list or a command over, and bring the gateway to it.

    Raises:
        RosterError, StrangerError, HubError, LoginsError, OSError: It cannot be done; the message says why.
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
    hub = Hub(settings["hub_url"], secrets["LITELLM_MASTER_KEY"])
    database = Logins(settings["database"], secrets["POSTGRES_REGISTRAR_PASSWORD"])
    found = hub.look()
    plan = compare(people, teams, register.keys, register.blocked, found, settings["routes"], datetime.now(UTC))
    steps = database.compare(people, register.logins)
    if check:
        changes = [call.says for calls in (plan.teams, *plan.people) for call in calls]
        return {"changes": changes + [step.says for step in steps], "table": []}
    register.save(file)  # before the gateway knows a key: what it knows is never lost
    done = hub.carry_out(plan) + database.carry_out(steps)
    addresses = {name: address(register.logins[name], settings["database"]) for name in people}
    done += hand_out(folder, people, register.keys, addresses, settings["hub_url"], hub.first_model())
    return {"changes": done, "table": shown(people, register, hub.look() if done else found)}


def main() -> None:
    """Command line."""
    words = [word for word in sys.argv[1:] if word != "--check"]
    try:
        print(json.dumps(run(json.load(sys.stdin), words, "--check" in sys.argv)))
    except (RosterError, StrangerError, HubError, LoginsError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
