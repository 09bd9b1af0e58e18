"""A class from its list: keys that work, and whose work ends when the list or the teacher says so."""

from __future__ import annotations

import json
import subprocess
import urllib.error
from pathlib import Path

import pytest

from tests.support.lab import Lab, changes, playbook

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
