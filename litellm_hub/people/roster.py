"""Who is in the class: teams and people from a list, checked as a whole before anything is done."""

from __future__ import annotations

import csv
import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

ROLES = ("student", "teacher")
NAME = re.compile(r"[a-z][a-z0-9._-]{0,30}")
DURATION = re.compile(r"[1-9][0-9]*(s|m|h|d|w|mo)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
MONTH = "30d"  # of a budget that names no time
BUDGET = ("max_budget", "budget_duration", "budget_limits")
BUDGET_REMEDY = "use an amount for 30 days, such as 5 or 0.5, or amounts with their times: 1/1d 5/30d"
COUNTS = ("rpm_limit", "tpm_limit", "max_parallel_requests")
TEAM_FIELDS = ("name", "budget", "rpm_limit", "tpm_limit", "models")
PERSON_FIELDS = ("name", "team", "role", "budget", *COUNTS, "models", "until")


class RosterError(Exception):
    """The list cannot be taken; the message names every problem and its remedy, a line each."""


@dataclass(frozen=True)
class Member:
    """A person or a team as it shall be.

    Attributes:
        name: Name of the account, unique among people or teams.
        team: A person's team.
        role: `student` or `teacher`; empty for a team.
        limits: What LiteLLM is told, by its own names, of `BUDGET`, `COUNTS` and `models`.
            What is not there is not limited.
        until: The last day on which the key is valid; None for ever.
    """

    name: str
    team: str = ""
    role: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)
    until: date | None = None

    @property
    def windows(self) -> list[Mapping[str, Any]]:
        """`max_budget` and `budget_duration` of each budget, the longest first."""
        return [self.limits, *reversed(self.limits.get("budget_limits", []))] if "max_budget" in self.limits else []


def budget(text: str) -> dict[str, Any]:
    """Read a budget: an amount for 30 days, or several amounts with their times, such as `1/1d 5/30d`.

    Args:
        text: In the currency of the models' prices.

    Returns:
        What LiteLLM is told: `max_budget` and `budget_duration` of the longest time, `budget_limits` of shorter ones.

    Raises:
        ValueError: It is none.
    """
    windows: dict[str, float] = {}
    for part in text.split():
        amount, _, time = part.partition("/")
        time = time or MONTH
        value = float(amount)
        if not (math.isfinite(value) and value >= 0 and DURATION.fullmatch(time)) or time in windows:
            raise ValueError(part)
        windows[time] = value
    order = sorted(windows, key=lambda time: int(time.rstrip("smhdwo")) * SECONDS[time.lstrip("0123456789")])
    limits: list[dict[str, Any]] = [{"budget_duration": time, "max_budget": windows[time]} for time in order]
    if len(limits) < 2:
        return limits[0] if limits else {}
    return limits[-1] | {"budget_limits": limits[:-1]}


def account(text: str) -> str:
    """Propose the name of an account for a person's name: `Zoë Müller` gives `zoe.muller`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", ".", plain).strip(".")[:31]


class Row(dict[str, str]):
    """A line of a list: its cells by the names of their columns.

    Attributes:
        line: Its number.
    """

    line = 0


def table(text: str) -> list[Row]:
    """Read a list as CSV, whatever a spreadsheet separates its columns by.

    Args:
        text: The file's text; the first line names the columns.

    Returns:
        A row for each person, empty cells left out.

    Raises:
        RosterError: Its columns are not those of a list, or nobody is on it.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=max(",;\t", key=first.count), strict=True)
    try:
        read = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise RosterError(f"line {reader.line_num}: {error}: is there a quotation mark too many?") from None
    (number, names), *others = [(number, cells) for number, cells in read if any(cells)] or [(1, [])]
    names = [name.lower() for name in names]
    problems = [] if names else ["The list is empty"]
    problems += [f"line {number}: {problem}" for problem in _wrong_columns(names)]
    problems = problems or [
        f"line {number} ({cells[0]}): it has more cells than the first line has columns"
        for number, cells in others
        if any(cells[len(names) :])
    ]
    if not (problems or others):
        problems = ["Nobody is on the list; what closes all keys is make class DO=end"]
    if problems:
        raise RosterError("\n".join(problems))
    rows = []
    for number, cells in others:
        row = Row({name: cell for name, cell in zip(names, cells, strict=False) if cell})
        row.line = number
        rows.append(row)
    return rows


def _wrong_columns(names: list[str]) -> Iterable[str]:
    for name in dict.fromkeys(filter(None, names)):
        if name not in PERSON_FIELDS:
            yield _no_column(name, PERSON_FIELDS)
        elif names.count(name) > 1:
            yield f"there are two columns {name!r}: leave one out"
    for name in ("name", "team"):
        if name not in names:
            yield f"there is no column {name!r}: the first line names the columns, such as name,team,role,budget"


def _no_column(name: str, fields: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, fields, 1)
    return f"there is no column {name!r}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(fields)}")


def read(
    people: Iterable[Mapping[str, object]], teams: Iterable[Mapping[str, object]] = (), default_budget: str = ""
) -> tuple[dict[str, Member], dict[str, Member]]:
    """Check a list and read what it says.

    Args:
        people: A mapping for each person, with fields of `PERSON_FIELDS`; `name` and `team` are needed.
        teams: A mapping for each team that has limits of its own, with fields of `TEAM_FIELDS`.
        default_budget: Of people whose `budget` is not given.

    Returns:
        People and teams by name.

    Raises:
        RosterError: Something is wrong with it.
    """
    problems: list[str] = []
    found_teams = _members("team", teams, TEAM_FIELDS, "", problems)
    found_people = _members("person", people, PERSON_FIELDS, default_budget, problems)
    if problems:
        raise RosterError("\n".join(problems))
    named = {person.team for person in found_people.values()} - found_teams.keys()
    return found_people, found_teams | {name: Member(name) for name in sorted(named)}


def _members(
    kind: str, rows: Iterable[Mapping[str, object]], fields: tuple[str, ...], default_budget: str, problems: list[str]
) -> dict[str, Member]:
    found: dict[str, Member] = {}
    places: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        cells = {name: str(value).strip() for name, value in row.items() if value is not None}
        wrong = list(_wrong(cells, kind, fields))
        name = cells.get("name", "")
        place = f"line {row.line}" if isinstance(row, Row) else f"{kind} {number}"
        if name in places:
            wrong.append(f"name={name} stands there twice, see {places[name]}: each has a name of their own")
        elif name:
            places[name] = place
        problems += [f"{place} ({name or 'without a name'}): {problem}" for problem in wrong]
        if not wrong:
            found[name] = _member(cells, default_budget)
    return found


def _wrong(cells: Mapping[str, str], kind: str, fields: tuple[str, ...]) -> Iterable[str]:
    yield from (_no_column(name, fields) for name in sorted(cells.keys() - set(fields)))
    for name in ("name", "team") if kind == "person" else ("name",):
        value = cells.get(name, "")
        if not NAME.fullmatch(value):
            proposed = account(value)
            remedy = f", such as {proposed}" if NAME.fullmatch(proposed) else ""
            yield f"{name}={value}: use small letters, digits and . _ -, a letter first, 31 at most{remedy}"
    if cells.get("role", ROLES[0]) not in ROLES:
        yield f"role={cells['role']}: use {' or '.join(ROLES)}"
    try:
        budget(cells.get("budget", ""))
    except ValueError:
        yield f"budget={cells['budget']}: {BUDGET_REMEDY}"
    for name in COUNTS:
        if not re.fullmatch(r"[0-9]{0,9}", cells.get(name, "")):
            yield f"{name}={cells[name]}: use a whole number"
    try:
        _until(cells)
    except ValueError:
        yield f"until={cells['until']}: use a day such as 2027-07-31"


def _until(cells: Mapping[str, str]) -> date | None:
    return date.fromisoformat(cells["until"]) if cells.get("until") else None


def _member(cells: Mapping[str, str], default_budget: str) -> Member:
    limits: dict[str, Any] = {name: int(cells[name]) for name in COUNTS if cells.get(name)}
    limits |= budget(cells.get("budget") or default_budget)
    if cells.get("models"):
        limits["models"] = sorted(filter(None, re.split(r"[\s,;]+", cells["models"])))
    role = cells.get("role", ROLES[0]) if "team" in cells else ""
    return Member(cells["name"], cells.get("team", ""), role, limits, _until(cells))
