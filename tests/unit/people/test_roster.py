from datetime import date

import pytest

from litellm_hub.people.roster import RosterError, account, budget, read, table

LIST = """\ufeffName;Team;Role;Budget;Until
anna;class-a;student;1/1d 5/30d;2027-01-31

ben;class-a;;3;
carla;class-b;teacher;;
"""


def test_a_list_is_read_as_a_spreadsheet_writes_it():
    people, teams = read(table(LIST), default_budget="2/7d")
    assert list(people) == ["anna", "ben", "carla"]
    assert people["anna"].until == date(2027, 1, 31)
    assert people["anna"].limits == {
        "max_budget": 5.0,
        "budget_duration": "30d",
        "budget_limits": [{"budget_duration": "1d", "max_budget": 1.0}],
    }
    assert people["ben"].limits == {"max_budget": 3.0, "budget_duration": "30d"}
    assert people["carla"].limits == {"max_budget": 2.0, "budget_duration": "7d"}
    assert people["carla"].role == "teacher"
    assert list(teams) == ["class-a", "class-b"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_cell_may_hold_spaces_and_further_words(separator):
    [row] = table(separator.join(["name", "team", "models"]) + "\n" + separator.join(["anna", "a", "phi qwen2.5"]))
    assert read([row])[0]["anna"].limits == {"models": ["phi", "qwen2.5"]}


def test_a_team_has_limits_of_its_own():
    _, teams = read([{"name": "anna", "team": "a"}], [{"name": "a", "budget": 50, "rpm_limit": 100, "models": "phi"}])
    assert teams["a"].limits == {"max_budget": 50.0, "budget_duration": "30d", "rpm_limit": 100, "models": ["phi"]}


def test_every_mistake_is_named_with_its_remedy():
    rows = [
        {"name": "Zoë Müller", "team": "a"},
        {"name": "ben", "team": "a", "bugdet": "5"},
        {"name": "ben", "team": "a"},
        {"name": "ben", "team": "a", "role": "boss", "budget": "much", "rpm_limit": "-1", "until": "31.7.2027"},
        {"name": "carl"},
    ]
    with pytest.raises(RosterError) as caught:
        read(rows)
    said = str(caught.value)
    for part in (
        "person 1 (Zoë Müller): name=Zoë Müller: use small letters, digits and . _ -, a letter first",
        "31 at most, such as zoe.muller",
        "person 2 (ben): there is no column 'bugdet': did you mean budget?",
        "role=boss: use student or teacher",
        "budget=much: use an amount for 30 days",
        "rpm_limit=-1: use a whole number",
        "until=31.7.2027: use a day such as 2027-07-31",
        "person 5 (carl): team=: ",
    ):
        assert part in said, said


def test_two_people_need_two_names_also_where_more_is_wrong():
    rows = [{"name": "ben", "team": "a", "budget": "abc"}, {"name": "ben", "team": "b"}]
    with pytest.raises(RosterError, match=r"person 2 .*name=ben stands there twice, see person 1"):
        read(rows)


def refusal(text):
    with pytest.raises(RosterError) as caught:
        read(table(text))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("text", ["\n", "", "\ufeff\r\n"])
def test_an_empty_list_is_refused(text):
    assert refusal(text)[0] == "The list is empty"


def test_a_list_of_nobody_closes_no_keys():
    assert refusal("name,team\n\n") == ["Nobody is on the list; what closes all keys is make class DO=end"]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("nme;team", ["line 1: there is no column 'nme': did you mean name?", "line 1: there is no column 'name'"]),
        ("name;team;team", ["line 1: there are two columns 'team': leave one out"]),
        ("ben;b", [f"line 1: there is no column '{name}'" for name in ("ben", "b", "name", "team")]),
    ],
)
def test_what_is_wrong_with_the_columns_is_said_once(head, said):
    found = refusal(f"{head}\n" + "anna;a;b\n" * 300)
    assert [line.startswith(part) for line, part in zip(found, said, strict=True)] == [True] * len(said), found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_of_three_hundred_lines_the_wrong_ones_are_named(end):
    lines = ["name;team;budget", "", *(f"p{number};a;5" for number in range(300))]
    lines[101], lines[201], lines[251] = "p99;a;abc", "p199;a;1,5", "p0;a;"
    remedy = "use an amount for 30 days, such as 5 or 0.5, or amounts with their times: 1/1d 5/30d"
    assert refusal("\ufeff" + end.join(lines) + end) == [
        f"line 102 (p99): budget=abc: {remedy}",
        f"line 202 (p199): budget=1,5: {remedy}",
        "line 252 (p0): name=p0 stands there twice, see line 3: each has a name of their own",
    ]


def test_a_cell_too_many_and_an_open_quotation_mark_are_named():
    assert refusal("name,team,budget\nanna,a,1,5\n") == [
        "line 2 (anna): it has more cells than the first line has columns"
    ]
    assert refusal('name,team\n"anna,a\nben,a\n')[0].startswith("line 3: unexpected end of data: is there a quotation")


def test_the_longest_time_is_the_budget_that_panel_and_dashboard_show():
    assert budget("5/1mo 1/12h 3/2w") == {
        "max_budget": 5.0,
        "budget_duration": "1mo",
        "budget_limits": [{"budget_duration": "12h", "max_budget": 1.0}, {"budget_duration": "2w", "max_budget": 3.0}],
    }


@pytest.mark.parametrize("text", ["nan", "-1", "5/soon", "1/1d 2/1d", "inf"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        budget(text)


def test_a_name_is_proposed_for_an_account():
    assert account("  Zoë   Müller-Łęcka ") == "zoe.muller.ecka"
