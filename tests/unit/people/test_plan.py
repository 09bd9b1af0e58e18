"""Against a LiteLLM of a few lines that does what the real one was seen to do, the deletion of keys included."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.people.plan import MARK, Found, StrangerError, compare, token
from litellm_hub.people.roster import read

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROUTES = ["/v1/chat/completions", "/v1/models"]
NAMES = ("anna", "ben", "carla")
KEYS = {name: f"sk-{name}" for name in NAMES}


class LiteLLM:
    def __init__(self) -> None:
        self.teams, self.users, self.keys = {}, {}, {}

    def found(self) -> Found:
        return Found(*(json.loads(json.dumps(part)) for part in (self.teams, self.users, self.keys)))

    def do(self, path: str, body: dict) -> None:
        match path:
            case "/team/new":
                assert body["team_id"] not in self.teams
                self.teams[body["team_id"]] = body
            case "/team/update":
                self.teams[body["team_id"]] |= body
            case "/user/new":
                self.users[body["user_id"]] = {"teams": [], **body}
            case "/team/member_add":
                assert body["team_id"] in self.teams
                for member in body["member"]:
                    self.users[member["user_id"]]["teams"].append(body["team_id"])
            case "/team/member_delete":
                self.users[body["user_id"]]["teams"].remove(body["team_id"])
                of_both = [
                    key
                    for key in self.keys.values()
                    if (key["user_id"], key["team_id"]) == (body["user_id"], body["team_id"])
                ]
                for key in of_both:
                    del self.keys[key["token"]]
            case "/key/generate":
                hashed = token(body["key"])
                assert hashed not in self.keys
                self.keys[hashed] = {"token": hashed, "blocked": None, **self._ending(body)}
            case "/key/update":
                self.keys[body["key"]] |= self._ending({name: value for name, value in body.items() if name != "key"})
            case "/key/block" | "/key/unblock":
                self.keys[body["key"]]["blocked"] = path == "/key/block"
            case _:
                raise AssertionError(path)

    def _ending(self, body: dict) -> dict:
        duration = body.pop("duration", None)
        if duration is None:
            return body
        ends = None if duration == "-1" else (NOW + timedelta(seconds=int(duration[:-1]))).isoformat()
        return body | {"expires": ends}


def bring(hub: LiteLLM, rows: list[dict], blocked=(), keys=KEYS, now=NOW) -> list[str]:
    people, teams = read(rows)
    plan = compare(people, teams, keys, blocked, hub.found(), ROUTES, now)
    calls = [call for step in plan for chain in step for call in chain]
    for call in calls:
        hub.do(call.path, dict(call.body))
    return [call.says for call in calls]


rows_of = st.fixed_dictionaries(
    {"name": st.sampled_from(NAMES), "team": st.sampled_from(["a", "b"])},
    optional={
        "role": st.sampled_from(["student", "teacher"]),
        "budget": st.sampled_from(["5", "1/1d", "1/1d 5/30d", "0"]),
        "rpm_limit": st.integers(0, 50),
        "max_parallel_requests": st.integers(1, 3),
        "models": st.sampled_from(["phi", "phi qwen2.5"]),
        "until": st.sampled_from(["2027-01-31", "2026-11-30", "2026-01-31"]),
    },
)
lists = st.lists(rows_of, min_size=1, max_size=3, unique_by=lambda row: row["name"])


@given(st.lists(st.tuples(lists, st.sets(st.sampled_from(NAMES))), min_size=1, max_size=4))
def test_after_any_change_of_the_list_everything_is_as_it_says_and_nothing_is_left_to_do(turns):
    hub = LiteLLM()
    for rows, blocked in turns:
        bring(hub, rows, blocked)
        assert bring(hub, rows, blocked, now=NOW + timedelta(minutes=1)) == []
        people, _ = read(rows)
        for name, key in ((name, hub.keys[token(KEYS[name])]) for name in people):
            assert key["team_id"] == people[name].team
            assert hub.users[name]["teams"] == [people[name].team]
            assert bool(key["blocked"]) == (name in blocked)
            assert key["allowed_routes"] == ROUTES
            assert {limit: key.get(limit) for limit in people[name].limits} == dict(people[name].limits)
        left = [key for hashed, key in hub.keys.items() if hashed not in {token(KEYS[name]) for name in people}]
        assert all(key["blocked"] for key in left), "who left opens nothing"


def test_exactly_what_was_changed_is_changed():
    hub = LiteLLM()
    rows = [{"name": name, "team": "a", "budget": "5"} for name in NAMES]
    assert len(bring(hub, rows)) == 8
    rows[0]["budget"] = "6"
    rows[1]["team"] = "b"
    assert bring(hub, rows[:2]) == [
        "make team b",
        "put ben into b",
        "change anna's key: max_budget",
        "change ben's key: team_id",
        "block carla",
        "take ben out of a",
    ]


def test_what_may_be_done_at_once_does_not_depend_on_each_other_and_a_team_is_not_asked_twice_at_once():
    people, teams = read([{"name": f"p{number}", "team": "ab"[number % 2]} for number in range(50)])
    keys = {name: f"sk-{name}" for name in people}
    plan = compare(people, teams, keys, (), Found(), ROUTES, NOW)
    assert [[len(step), max(map(len, step))] for step in plan] == [[1, 2], [50, 1], [1, 6], [50, 1]]
    assert [call.path for call in plan[2][0]] == ["/team/member_add"] * 6


def test_a_key_ends_with_its_day():
    hub = LiteLLM()
    bring(hub, [{"name": "anna", "team": "a", "until": "2027-01-31"}])
    ends = datetime.fromisoformat(hub.keys[token("sk-anna")]["expires"])
    assert ends.date() == date(2027, 1, 31)
    assert bring(hub, [{"name": "anna", "team": "a"}]) == ["change anna's key: duration"]
    assert hub.keys[token("sk-anna")]["expires"] is None


def test_a_new_key_closes_the_one_before():
    hub = LiteLLM()
    rows = [{"name": "anna", "team": "a"}]
    bring(hub, rows)
    assert bring(hub, rows, keys={"anna": "sk-other"}) == ["make anna's key", "block anna"]


def test_who_moves_takes_closed_keys_along_so_that_litellm_deletes_none():
    hub = LiteLLM()
    rows = [{"name": "anna", "team": "a"}]
    bring(hub, rows)
    bring(hub, rows, keys={"anna": "sk-other"})
    assert bring(hub, [{"name": "anna", "team": "b"}], keys={"anna": "sk-other"}) == [
        "make team b",
        "put anna into b",
        "change anna's key: team_id",
        "move anna",
        "take anna out of a",
    ]
    assert [key["blocked"] for key in hub.keys.values()] == [True, None]


@pytest.mark.parametrize("kind", ["team", "user"])
def test_what_others_made_is_not_touched(kind):
    hub = LiteLLM()
    if kind == "team":
        hub.do("/team/new", {"team_id": "a", "metadata": {}})
    else:
        hub.do("/user/new", {"user_id": "anna", "teams": [], "metadata": {}})
    with pytest.raises(StrangerError, match=f"LiteLLM has a {kind} a"):
        bring(hub, [{"name": "anna", "team": "a"}])


def test_keys_of_others_stay_as_they_are():
    hub = LiteLLM()
    hub.do("/key/generate", {"key": "sk-notebook", "key_alias": "notebook", "user_id": "notebook", "team_id": None})
    bring(hub, [{"name": "anna", "team": "a"}])
    assert not hub.keys[token("sk-notebook")]["blocked"]
    assert hub.keys[token("sk-anna")]["metadata"]["managed_by"] == MARK
