"""What a run looks like, what the log keeps of it, what a lab remembers, and that a second run waits."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import ROOT, wait_until

ANSIBLE = ROOT / "ansible"
PLAYBOOK = """
- hosts: lab
  name: Install
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: "{{ item }}"}
      loop: [base, second_part]
- hosts: lab
  name: Fail
  gather_facts: false
  tasks:
    - block:
        - {name: Try, ansible.builtin.fail: {msg: a first try that failed}}
      rescue:
        - {name: Give up, ansible.builtin.fail: {msg: "hub_port=1: taken. Choose another one."}}
      always:
        - {name: Tidy up, ansible.builtin.fail: {msg: what follows from it}}
"""
ROLES = {
    "base": "- {ansible.builtin.debug: {msg: 'http://127.0.0.1/lab?token=geheim'}}",
    "second_part": "- {name: Work, ansible.builtin.command: echo done}",
}
LOCKED = """
- hosts: lab
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {one_run: {host: '', home: /nowhere}}
    - {name: Work, ansible.builtin.shell: "touch {{ begun }}; until [ -e {{ done }} ]; do sleep 0.1; done"}
"""
REMEMBERING = f"""
- import_playbook: {ANSIBLE}/hosts.yml
- hosts: lab
  gather_facts: false
  vars: {{role_path: {ANSIBLE}/roles/preflight}}
  vars_files: [{ANSIBLE}/roles/preflight/vars/main.yml]
  tasks:
    - ansible.builtin.debug: {{msg: "ports {{{{ [hub_port, postgres_port, jupyter_port] | join(' ') }}}}"}}
    - ansible.builtin.debug: {{msg: "keeps {{{{ preflight_differing | sort | join(' ') }}}}"}}
"""


def start(folder: Path, text: str, *options: str) -> subprocess.Popen[str]:
    """Run a playbook with the project's plugins."""
    (folder / "play.yml").write_text(text)
    (folder / "inventory").write_text(
        f"[lab]\nlocalhost ansible_connection=local ansible_python_interpreter={sys.executable} postgres_port=5999\n"
        + "".join(f"[{group}]\nlocalhost\n" for group in ("database", "models", "hub", "workbench"))
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home")}
    environment |= {"ANSIBLE_ROLES_PATH": str(folder / "roles"), "LC_ALL": "C.UTF-8"}
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory", "play.yml", *options],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def output(folder: Path, text: str, *options: str) -> str:
    return start(folder, text, *options).communicate(timeout=120)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("steps")
    for role, tasks in ROLES.items():
        (folder / "roles" / role / "tasks").mkdir(parents=True)
        (folder / "roles" / role / "tasks/main.yml").write_text(tasks)
    return folder


@pytest.fixture(scope="module")
def failed(folder: Path) -> str:
    return output(folder, PLAYBOOK)


def test_each_play_is_a_numbered_line_with_its_time_and_what_it_says(failed: str) -> None:
    lines = failed.splitlines()
    assert lines[0].startswith("1/2 Install ")
    assert lines[0].endswith(" s")
    assert lines[1] == "http://127.0.0.1/lab?token=geheim"
    assert lines[2].startswith("2/2 Fail ")


def test_an_error_is_said_once_and_neither_one_made_good_nor_one_that_follows(failed: str) -> None:
    assert failed.count("hub_port=1: taken. Choose another one.") == 1
    assert "first try" not in failed
    assert "follows" not in failed
    for jargon in ("fatal", "TASK", "PLAY", "Origin", "[ERROR]"):
        assert jargon not in failed


def test_the_last_line_counts(failed: str) -> None:
    assert failed.splitlines()[-1].startswith("localhost: ok=4 changed=1 failed=2 unreachable=0 in ")


def test_the_log_has_everything_but_the_token_and_is_its_owners_alone(folder: Path, failed: str) -> None:
    [log] = (folder / "home/genailabs").glob("play-*.log")
    assert str(log) in failed
    assert log.stat().st_mode & 0o777 == 0o600
    words = log.read_text()
    assert "TASK [second_part : Work]" in words
    assert "a first try that failed" in words
    assert "token=…" in words
    assert "geheim" not in words


def test_verbose_is_ansibles_own(folder: Path) -> None:
    words = output(folder, PLAYBOOK, "-v")
    assert "TASK [second_part : Work]" in words
    assert "PLAY RECAP" in words
    assert "1/2 Install" not in words


@pytest.mark.parametrize("kill", [False, True])
def test_a_second_run_waits_for_the_first_and_for_what_a_killed_one_left(tmp_path: Path, kill: bool) -> None:
    files = {name: tmp_path / name for name in ("begun", "done")}
    options = [word for name, path in files.items() for word in ("-e", f"{name}={path}")]
    first = start(tmp_path, LOCKED, *options)
    wait_until(files["begun"].exists, 60, "the first run works")
    if kill:
        first.send_signal(signal.SIGKILL)
        first.wait()
    second = start(tmp_path, LOCKED, *options)
    assert second.stdout
    said = second.stdout.readline()
    assert f"Waiting for the run of play.yml (pid {first.pid}, since " in said
    assert ("it was killed" in said) == kill
    assert second.poll() is None
    files["done"].touch()
    assert "failed=0" in second.communicate(timeout=60)[0]
    assert first.wait(60) == (-signal.SIGKILL if kill else 0)


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "home/genailabs").mkdir(parents=True)
    name = hashlib.sha256(f":{Path('/nowhere').resolve()}".encode()).hexdigest()[:16]
    (tmp_path / "home/genailabs" / f"{name}.lock").symlink_to(tmp_path / "elsewhere")
    run = start(tmp_path, LOCKED, "-e", "begun=x", "-e", "done=y")
    assert "No lock can be had" in run.communicate(timeout=60)[0]
    assert run.returncode != 0
    assert not (tmp_path / "elsewhere").exists()


def test_a_given_setting_holds_until_it_is_given_again(tmp_path: Path) -> None:
    (tmp_path / "group_vars").symlink_to(ANSIBLE / "group_vars")
    (tmp_path / "lab/config").mkdir(parents=True)
    kept = {"hub_port": 4200, "postgres_port": 5600, "runtime_port": 4300}
    (tmp_path / "lab/config/settings.json").write_text(json.dumps(kept))
    words = output(
        tmp_path, REMEMBERING, "-e", f"lab_home={tmp_path}/lab", "-e", "runtime_port=11434", "-e", "jupyter_port=9999"
    )
    assert "ports 4200 5600 9999" in words, "remembered before the inventory, given before remembered"
    assert "keeps hub_port jupyter_port postgres_port\n" in words, "what has its default again is forgotten"
