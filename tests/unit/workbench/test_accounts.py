from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from litellm_hub.workbench.accounts import AccountError, Accounts, marked, processes
from litellm_hub.workbench.people import Person


def person(account: str, **fields: str) -> Person:
    return Person(**({"name": "anna", "account": account, "team": "a", "role": "student", "key": "sk"} | fields))


@pytest.mark.parametrize(
    ("own", "account", "words"),
    [
        (True, "daemon", "daemon: this host has an account of that name that is not this lab's"),
        (True, "lab-" + "a" * 31, "an account's name has at most 32 characters"),
        (False, "daemon", "this is an account of the system"),
        (False, "nobody-has-this", "this host has no such account. Make it, or use workbench_auth=native"),
    ],
)
def test_an_account_that_is_not_the_persons_is_refused_and_nothing_is_made(tmp_path, own, account, words):
    with pytest.raises(AccountError, match=words.replace(".", r"\.")):
        Accounts(tmp_path, own=own).bring({"anna": person(account)})
    assert list(tmp_path.iterdir()) == []


def test_a_check_says_what_would_be_done_and_does_not(tmp_path):
    done = Accounts(tmp_path, own=True, check=True).bring({"anna": person("lab-no-such-anna")})
    assert "make account lab-no-such-anna" in done
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        pwd.getpwnam("lab-no-such-anna")


def test_groups_of_two_labs_and_of_two_teams_differ(tmp_path):
    one, two = (Accounts(tmp_path / name, own=True) for name in ("one", "two"))
    groups = {one._group("a"), one._group("b"), one._group("a", "teacher"), two._group("a")}
    assert len(groups) == 4
    assert all(group.startswith(one._group("")) for group in (one._group("a"), one._group("b")))
    assert not two._group("a").startswith(one._group(""))


def test_a_process_is_known_by_its_mark():
    started = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"LAB_SERVICE": "/srv/lab:person/anna"},
    )
    try:
        assert started.stdout
        started.stdout.readline()
        for mark, wanted in (("/srv/lab:person/", True), ("/srv/lab2:person/", False)):
            found = processes(lambda path, mark=mark: path.stat().st_uid == os.getuid() and marked(path, mark))
            assert (started.pid in found) is wanted
    finally:
        started.communicate(b"\n")
