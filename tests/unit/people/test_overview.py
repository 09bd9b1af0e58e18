import csv

from litellm_hub.people.overview import HEAD, lines, overview, sheet
from litellm_hub.people.plan import Found, token
from litellm_hub.people.roster import read

KEYS = {name: f"sk-{name}" for name in ("anna", "ben", "zoe")}
PEOPLE, _ = read(
    [
        {"name": "zoe", "team": "a", "role": "teacher"},
        {"name": "ben", "team": "b", "budget": "3"},
        {"name": "anna", "team": "b", "budget": "1/1d 5/30d"},
    ]
)
FOUND = Found(
    users={"anna": {"spend": 12.5}, "ben": {"spend": 4.0}},
    keys={
        token("sk-anna"): {
            "spend": 2.25,
            "budget_reset_at": "2026-12-01T00:00:00Z",
            "budget_limits": [{"budget_duration": "1d", "max_budget": 1.0, "reset_at": "2026-11-30T00:00:00+00:00"}],
            "last_active": "2026-11-29T18:30:12.123Z",
        },
        token("sk-ben"): {"spend": 3.5, "budget_reset_at": "2026-12-01T00:00:00Z"},
    },
)
ROWS = overview(PEOPLE, KEYS, ["ben"], FOUND, {(token("sk-anna"), "1d"): 0.125})


def test_each_budget_says_what_is_left_and_when_it_renews():
    assert ROWS == [
        ("zoe", "a", "teacher", "", "none", "", "", "0", "never"),
        ("anna", "b", "student", "", "5/30d", "2.75", "2026-12-01 00:00", "12.5", "2026-11-29 18:30"),
        ("", "", "", "", "1/1d", "0.875", "2026-11-30 00:00", "", ""),
        ("ben", "b", "student", "blocked", "3/30d", "0", "2026-12-01 00:00", "4", "never"),
    ]


def test_the_terminal_has_it_in_columns():
    head, *others = lines(ROWS)
    assert head.split() == ["NAME", "TEAM", "ROLE", "STATE", "BUDGET", "LEFT", "RENEWS", "SPENT", "LAST", "USE"]
    assert {line.find("/") for line in others[1:]} == {head.find("BUDGET") + 1}


def test_a_spreadsheet_has_the_person_in_each_row():
    head, *others = csv.reader(sheet(ROWS).splitlines())
    assert tuple(head) == HEAD
    assert [row[0] for row in others] == ["zoe", "anna", "anna", "ben"]
    assert others[2] == ["anna", "b", "student", "", "1/1d", "0.875", "2026-11-30 00:00", "12.5", "2026-11-29 18:30"]
