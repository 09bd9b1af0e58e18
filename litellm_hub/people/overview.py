"""What the teacher sees of each person: budgets and what is left of them, what was spent, and the last use."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from typing import Any

from litellm_hub.people.plan import Found, token
from litellm_hub.people.roster import Member

HEAD = ("name", "team", "role", "state", "budget", "left", "renews", "spent", "last_use")


def overview(
    people: Mapping[str, Member],
    keys: Mapping[str, str],
    blocked: Collection[str],
    found: Found,
    windows: Mapping[tuple[str, Any], float],
) -> list[tuple[str, ...]]:
    """List the people, team by team.

    Args:
        people: Those who have a key.
        keys: Its text.
        blocked: Names whose keys open nothing.
        found: What LiteLLM has.
        windows: What was spent of shorter budgets, by what LiteLLM knows the key by and duration.

    Returns:
        The columns of `HEAD`: a row for each person, and one for each further budget, with the budget alone.
    """
    rows: list[tuple[str, ...]] = []
    for name, person in sorted(people.items(), key=lambda item: (item[1].team, item[0])):
        hashed = token(keys[name])
        key = found.keys.get(hashed, {})
        renewals = {limit["budget_duration"]: limit.get("reset_at") for limit in key.get("budget_limits") or []}
        budgets = []
        for limit in person.windows:
            time = limit["budget_duration"]
            main = limit is person.limits
            spent = key.get("spend") if main else windows.get((hashed, time))
            left = max(0.0, limit["max_budget"] - (spent or 0.0))
            renews = key.get("budget_reset_at") if main else renewals.get(time)
            budgets.append((f"{limit['max_budget']:g}/{time}", f"{left:.4g}", _minute(renews, "")))
        first, *further = budgets or [("none", "", "")]
        spent = (found.users.get(name) or {}).get("spend") or 0.0
        state = "blocked" if name in blocked else ""
        used = _minute(key.get("last_active"), "never")
        rows.append((name, person.team, person.role, state, *first, f"{spent:.4g}", used))
        rows += [("", "", "", "", *budget, "", "") for budget in further]
    return rows


def lines(rows: Collection[tuple[str, ...]]) -> list[str]:
    """The list as a table for the terminal."""
    table = [tuple(name.upper().replace("_", " ") for name in HEAD), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def sheet(rows: Collection[tuple[str, ...]]) -> str:
    """The list as CSV for a spreadsheet; further budgets carry the name and what else is there of the person."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEAD)
    person: tuple[str, ...] = ()
    for row in rows:
        person = row if row[0] else person
        table.writerow([*person[:4], *row[4:7], *person[7:]])
    return text.getvalue()


def _minute(moment: object, never: str) -> str:
    return str(moment)[:16].replace("T", " ") if moment else never
