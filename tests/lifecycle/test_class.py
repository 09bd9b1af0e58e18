"""A class from its list: keys that work, and whose work ends when the list or the teacher says so."""

from __future__ import annotations

import json
import subprocess
import urllib.error
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.support.lab import Lab, changes, playbook, wait_until

pytestmark = pytest.mark.lab
LIST = "name,team,role,budget\nanna,class-a,student,1/1d 5/30d\nben,class-a,student,\ncarla,class-b,teacher,3\n"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    file = tmp_path / "list.csv"
    file.write_text(LIST)
    return file


def teach(lab: Lab, **variables: object) -> subprocess.CompletedProcess[str]:
    return playbook("class", {"lab_home": str(lab.home)} | variables)


def key_of(lab: Lab, name: str) -> str:
    return str(json.loads((lab.home / "people/people.json").read_text())["keys"][name])


def users_in_the_log(lab: Lab, name: str) -> set[str]:
    """Whose requests the person's own login sees."""
    login = json.loads((lab.home / "people/people.json").read_text())["logins"][name]
    place = urlsplit(lab.database_url)
    with (
        closing(
            psycopg2.connect(
                host=place.hostname, port=place.port, dbname="litellm", user=login["login"], password=login["password"]
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT DISTINCT user_id FROM lab.usage_log")
        return {user for (user,) in cursor.fetchall()}


def status(lab: Lab, key: str) -> int:
    body = {"model": lab.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    try:
        lab.hub("/v1/chat/completions", body, key=key)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def test_a_class_has_keys_that_work_until_the_teacher_or_the_list_ends_them(lab: Lab, names: Path) -> None:
    made = teach(lab, class_names=str(names))
    assert made.returncode == 0, made.stdout + made.stderr
    assert changes(made) == 1
    anna, ben, carla = (key_of(lab, name) for name in ("anna", "ben", "carla"))
    assert [status(lab, key) for key in (anna, ben, carla)] == [200, 200, 200]
    for name, seen in (("anna", {"anna"}), ("ben", {"ben"}), ("carla", {"carla"})):
        wait_until(lambda name=name, seen=seen: users_in_the_log(lab, name) == seen, 60, f"{name} sees {seen}")
    page = lab.home / "people/anna.md"
    assert anna in page.read_text()
    assert page.stat().st_mode & 0o077 == 0
    assert anna not in made.stdout

    again = teach(lab, class_names=str(names))
    assert changes(again) == 0, again.stdout

    assert changes(teach(lab, class_do="block ben")) == 1
    names.write_text(LIST.replace("anna,class-a", "anna,class-b").replace("carla,class-b,teacher,3\n", ""))
    changed = teach(lab, class_names=str(names))
    for part in ("put anna into class-b", "block carla"):
        assert part in changed.stdout
    assert "ben" in changed.stdout
    assert [status(lab, key) for key in (anna, ben, carla)] == [200, 401, 401]
    assert not (lab.home / "people/carla.md").exists()
    with pytest.raises(psycopg2.OperationalError, match="not permitted to log in"):
        users_in_the_log(lab, "carla")
    names.write_text(names.read_text().replace("ben,class-a,student,", "ben,class-b,teacher,"))
    assert "change ben's login" in teach(lab, class_names=str(names)).stdout
    status(lab, anna)
    wait_until(lambda: users_in_the_log(lab, "ben") == {"anna", "ben", "carla"}, 60, "ben sees the team's requests")
    assert users_in_the_log(lab, "anna") == {"anna"}

    assert "give anna a new key" in teach(lab, class_do="key anna").stdout
    assert [status(lab, key) for key in (anna, key_of(lab, "anna"))] == [401, 200]
    assert key_of(lab, "anna") in (lab.home / "people/all.html").read_text()
    assert anna not in (lab.home / "people/all.html").read_text()

    ended = teach(lab, class_do="end")
    assert "remove all.html" in ended.stdout
    assert status(lab, key_of(lab, "anna")) == 401


def test_a_wrong_list_is_refused_with_each_mistake_and_changes_nothing(lab: Lab, names: Path) -> None:
    for text, parts in (
        ("name,team,bugdet\nanna,class-a,5\n", ["line 1", "did you mean budget?"]),
        ("name,team\r\nben,class-a\r\nZoë Müller,class-a\r\n", ["line 3", "such as zoe.muller"]),
        ("", ["The list is empty"]),
    ):
        names.write_text(text)
        refused = teach(lab, class_names=str(names))
        assert refused.returncode != 0
        for part in parts:
            assert part in " ".join((refused.stdout + refused.stderr).split())
