import stat

import pytest

from litellm_hub.people.plan import token
from litellm_hub.people.register import Register, hand_out
from litellm_hub.people.roster import RosterError

ANNA = {"name": "anna", "team": "a", "budget": "5"}
BEN = {"name": "ben", "team": "a"}
ADDRESSES = {"anna": "postgresql://p_1:word@127.0.0.1:5433/litellm", "ben": "postgresql://p_2:other@there"}


@pytest.fixture
def register(tmp_path):
    made = Register.load(tmp_path / "people.json")
    made.take([ANNA, BEN], [])
    made.members("1")
    return made


def test_it_is_kept_for_its_owner_alone_and_read_again(register, tmp_path):
    file = tmp_path / "people.json"
    register.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Register.load(file) == register


def test_a_wrong_list_changes_nothing(register):
    with pytest.raises(RosterError):
        register.take([ANNA, {"name": "Ben"}], [])
    assert list(register.people) == ["anna", "ben"]


def test_who_comes_back_has_the_same_key(register):
    key = register.keys["ben"]
    register.take([ANNA], [])
    register.members("1")
    register.take([ANNA, BEN], [])
    register.members("1")
    assert register.keys["ben"] == key


def test_a_budget_by_hand_holds_until_the_list_says_another(register):
    register.give("anna", "8/7d")
    register.take([ANNA, BEN], [])
    assert register.members("1")[0]["anna"].limits == {"max_budget": 8.0, "budget_duration": "7d"}
    register.take([ANNA | {"budget": "6"}, BEN], [])
    assert register.members("1")[0]["anna"].limits["max_budget"] == 6.0


def test_who_is_not_there_is_named(register):
    for act in (register.block, register.unblock, register.forget, lambda name: register.give(name, "1")):
        with pytest.raises(RosterError, match=r"zoe: nobody on the list has that name\. There are anna, ben"):
            act("zoe")


def test_pages_are_written_once_and_removed_with_their_people(register, tmp_path):
    people, _ = register.members("1")
    assert hand_out(tmp_path, people, register.keys, ADDRESSES, "http://127.0.0.1:4100", "phi") == [
        "write anna.md",
        "write ben.md",
    ]
    assert hand_out(tmp_path, people, register.keys, ADDRESSES, "http://127.0.0.1:4100", "phi") == []
    page = tmp_path / "anna.md"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert register.keys["anna"] in page.read_text()
    assert register.keys["ben"] not in page.read_text()
    assert ADDRESSES["anna"] in page.read_text()
    assert ADDRESSES["ben"] not in page.read_text()
    del people["ben"]
    assert hand_out(tmp_path, people, register.keys, ADDRESSES, "http://127.0.0.1:4100", "phi") == ["remove ben.md"]


def test_a_page_names_the_workbench_and_another_first_password_after_a_reset(register, tmp_path):
    people, _ = register.members("1")
    given = (
        people,
        register.keys,
        ADDRESSES,
        "http://127.0.0.1:4100",
        "phi",
        "http://127.0.0.1:8888",
        register.passwords,
    )
    hand_out(tmp_path, *given)
    first = register.passwords["anna"]
    page = (tmp_path / "anna.md").read_text()
    assert first in page
    assert "http://127.0.0.1:8888" in page
    register.forget("anna")
    register.members("1")
    assert register.passwords["anna"] != first
    assert hand_out(tmp_path, *given) == ["write anna.md"]
    assert first not in (tmp_path / "anna.md").read_text()


def test_a_new_key_takes_the_place_of_the_old_one_which_is_kept_by_its_digest_alone(register, tmp_path):
    leaked, bens = register.keys["anna"], register.keys["ben"]
    register.renew("anna", "anna")
    assert register.keys["anna"] != leaked
    assert register.keys["ben"] == bens
    assert register.former == {"anna": [token(leaked)]}
    register.save(tmp_path / "people.json")
    assert leaked not in (tmp_path / "people.json").read_text()
    with pytest.raises(RosterError, match="zoe: nobody on the list"):
        register.renew("zoe")
