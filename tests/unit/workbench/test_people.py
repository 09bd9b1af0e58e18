from __future__ import annotations

from datetime import date

import pytest

from litellm_hub.workbench import people

PLACE = "127.0.0.1:5433/litellm?require_auth=scram-sha-256"
REGISTER = {
    "people": {
        "anna": {"name": "anna", "team": "a"},
        "ben": {"name": "ben", "team": "a", "role": "teacher", "until": "2027-07-31"},
        "carla": {"name": "carla", "team": "b"},
    },
    "keys": {"anna": "sk-a", "ben": "sk-b", "carla": "sk-c", "gone": "sk-g"},
    "passwords": {"anna": "first"},
    "blocked": ["carla"],
    "logins": {"anna": {"login": "p_1", "password": "s/:@"}},
}


def test_who_is_on_the_list_and_not_blocked_may_work():
    found = people.from_register(REGISTER, "lab-", PLACE)
    assert list(found) == ["anna", "ben"]
    assert found["anna"].account == "lab-anna"
    assert found["anna"].key == "sk-a"
    assert found["anna"].first_password == "first"
    assert (found["anna"].role, found["ben"].role) == ("student", "teacher")


def test_a_login_of_the_persons_own_is_taken_where_there_is_one():
    found = people.from_register(REGISTER, "lab-", PLACE)
    assert found["anna"].database_url == f"postgresql+psycopg2://p_1:s%2F%3A%40@{PLACE}"
    assert found["ben"].database_url == ""
    older = {name: value for name, value in REGISTER.items() if name not in ("logins", "passwords")}
    assert people.from_register(older, "", PLACE)["anna"].database_url == ""


@pytest.mark.parametrize(("day", "valid"), [(date(2027, 7, 31), True), (date(2027, 8, 1), False)])
def test_the_last_day_is_the_last(day, valid):
    found = people.from_register(REGISTER, "", PLACE)
    assert found["ben"].valid(day) is valid
    assert found["anna"].valid(day)


def test_what_is_written_is_read_again(tmp_path):
    found, file = people.from_register(REGISTER, "lab-", PLACE), tmp_path / "people.json"
    assert people.load(file) == {}
    file.write_text(people.text(found))
    assert people.load(file) == found
