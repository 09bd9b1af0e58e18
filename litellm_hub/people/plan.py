"""What LiteLLM must be told so that its teams, users and keys are those of the list: a comparison, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from litellm_hub.people.roster import BUDGET, COUNTS, Member

MARK = "genailabs-people"  # in the metadata of what the list has made; nothing else is touched
ROLE = "internal_user_viewer"  # may read its own and make nothing, no further key either
FOR_EVER = "-1"
AT_ONCE = 10
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Call:
    """A request to LiteLLM that changes something.

    Attributes:
        says: What it does, in words.
        path: Its path.
        body: What is sent, as JSON.
    """

    says: str
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What LiteLLM has, as it lists it: teams and users by id, keys by the SHA-256 of their text."""

    teams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Plan = Sequence[Sequence[Sequence[Call]]]
"""Steps in their order; of a step's chains of calls none depends on another, so they may be made at the same time."""


class StrangerError(Exception):
    """A name is taken by something that the list has not made; the message says which."""


def token(key: str) -> str:
    """What LiteLLM knows a key by."""
    return hashlib.sha256(key.encode()).hexdigest()


def compare(
    people: Mapping[str, Member],
    teams: Mapping[str, Member],
    keys: Mapping[str, str],
    blocked: Iterable[str],
    found: Found,
    routes: Sequence[str],
    now: datetime,
) -> Plan:
    """Compare what shall be with what LiteLLM has.

    Args:
        people: Those who shall have a key.
        teams: Their teams.
        keys: The text of each one's key by name, also of people who are on the list no more.
        blocked: Names whose keys shall open nothing.
        found: What LiteLLM has.
        routes: The paths that keys may use.
        now: When a key's time begins, with its time zone.

    Returns:
        What to do. Nobody is deleted, and no key.

    Raises:
        StrangerError: A team or user of that name was made by somebody else.
    """
    for kind, wanted, there in (("team", teams, found.teams), ("user", people, found.users)):
        if strangers := [name for name in wanted if name in there and not _ours(there[name])]:
            raise StrangerError(
                f"LiteLLM has a {kind} {', '.join(strangers)} that this list did not make: use another name"
            )
    closed = set(blocked)
    current = {token(keys[name]) for name in people}
    left = [
        Call(f"block {key.get('key_alias')}", "/key/block", {"key": hashed})
        for hashed, key in found.keys.items()
        if _ours(key) and hashed not in current and not key.get("blocked")
    ]
    of_people = [_key(person, keys[name], name in closed, found, routes, now) for name, person in people.items()]
    steps = [
        [[call for name, team in teams.items() if (call := _team(team, found.teams.get(name)))]],
        [[_user(person)] for name, person in people.items() if name not in found.users],
        [_joining(people, found)],
        [*of_people, *([call] for call in left)],
        [_leaving(people, found)],
    ]
    return [chains for step in steps if (chains := [chain for chain in step if chain])]


def _ours(thing: Mapping[str, Any]) -> bool:
    return (thing.get("metadata") or {}).get("managed_by") == MARK


def _team(team: Member, there: Mapping[str, Any] | None) -> Call | None:
    if there is None:
        body = {"team_id": team.name, "team_alias": team.name, "metadata": {"managed_by": MARK}, **team.limits}
        return Call(f"make team {team.name}", "/team/new", body)
    change = _difference(team.limits, there, (*BUDGET, "rpm_limit", "tpm_limit", "models"))
    return (
        Call(f"change team {team.name}: {_words(change)}", "/team/update", {"team_id": team.name, **change})
        if change
        else None
    )


def _metadata(person: Member) -> dict[str, str]:
    return {"managed_by": MARK, "role": person.role}


def _user(person: Member) -> Call:
    body = {"user_id": person.name, "user_alias": person.name, "user_role": ROLE, "auto_create_key": False}
    return Call(f"make {person.name}", "/user/new", {**body, "send_invite_email": False, "metadata": _metadata(person)})


def _teams(name: str, found: Found) -> Sequence[str]:
    return (found.users.get(name) or {}).get("teams") or ()


def _joining(people: Mapping[str, Member], found: Found) -> list[Call]:
    """One after the other, and not all of a team at once: LiteLLM locks the team, and gives up after some seconds."""
    of_team: dict[str, list[str]] = {}
    for name, person in people.items():
        if person.team not in _teams(name, found):
            of_team.setdefault(person.team, []).append(name)
    return [
        Call(
            f"put {', '.join(names[first : first + AT_ONCE])} into {team}",
            "/team/member_add",
            {
                "team_id": team,
                "member": [{"user_id": name, "role": "user"} for name in names[first : first + AT_ONCE]],
            },
        )
        for team, names in of_team.items()
        for first in range(0, len(names), AT_ONCE)
    ]


def _leaving(people: Mapping[str, Member], found: Found) -> list[Call]:
    """The last ones: LiteLLM deletes a person's keys of the team that is left, so all must be in the new one."""
    return [
        Call(f"take {name} out of {old}", "/team/member_delete", {"team_id": old, "user_id": name})
        for name, person in people.items()
        for old in _teams(name, found)
        if old != person.team and old in found.teams and _ours(found.teams[old])
    ]


def _key(person: Member, key: str, blocked: bool, found: Found, routes: Sequence[str], now: datetime) -> list[Call]:
    name, metadata, calls = person.name, _metadata(person), []
    hashed = token(key)
    there = found.keys.get(hashed)
    if there is None:
        body = {"key": key, "key_alias": name, "user_id": name, "team_id": person.team, "allowed_routes": list(routes)}
        ends = {"duration": _duration(person.until, now)} if person.until else {}
        calls.append(
            Call(f"make {name}'s key", "/key/generate", {**body, **person.limits, **ends, "metadata": metadata})
        )
    else:
        change = _difference(person.limits, there, (*BUDGET, *COUNTS, "models"))
        if there.get("team_id") != person.team:
            change["team_id"] = person.team
        if sorted(there.get("allowed_routes") or []) != sorted(routes):
            change["allowed_routes"] = list(routes)
        if not _ends_then(there.get("expires"), person.until, now):
            change["duration"] = _duration(person.until, now)
        if there.get("metadata") != metadata:
            change["metadata"] = metadata
        if change:
            calls.append(Call(f"change {name}'s key: {_words(change)}", "/key/update", {"key": hashed, **change}))
    if blocked != bool((there or {}).get("blocked")):
        verb = "block" if blocked else "unblock"
        calls.append(Call(f"{verb} {name}", f"/key/{verb}", {"key": hashed}))
    left = {*_teams(name, found)} - {person.team}
    return calls + [
        Call(f"move {key.get('key_alias')}", "/key/update", {"key": other, "team_id": person.team})
        for other, key in found.keys.items()
        if other != hashed and key.get("user_id") == name and key.get("team_id") in left
    ]


def _difference(wanted: Mapping[str, Any], there: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    def comparable(name: str, value: Any) -> Any:
        if name == "budget_limits":
            return sorted((window["budget_duration"], window["max_budget"]) for window in value or [])
        return sorted(value or []) if name == "models" else value

    empty: dict[str, list[Any]] = {"budget_limits": [], "models": []}
    return {
        name: wanted.get(name, empty.get(name))
        for name in names
        if comparable(name, wanted.get(name)) != comparable(name, there.get(name))
    }


def _words(change: Mapping[str, Any]) -> str:
    return ", ".join(sorted(change))


def _end(until: date) -> datetime:
    return datetime.combine(until, time.max, UTC)


def _duration(until: date | None, now: datetime) -> str:
    if until is None:
        return FOR_EVER
    return f"{max(1, int((_end(until) - now).total_seconds()))}s"


def _ends_then(expires: str | None, until: date | None, now: datetime) -> bool:
    if expires is None or until is None:
        return expires is None and until is None
    ends = datetime.fromisoformat(expires.replace("Z", "+00:00"))
    return abs(ends - _end(until)) < DAY or max(ends, _end(until)) <= now
