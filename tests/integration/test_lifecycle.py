"""Up again, down and up, two labs side by side, without a network, as an ordinary user."""

import os
import subprocess
import sys
import urllib.error
from pathlib import Path

import psycopg2
import pytest

from tests.conftest import lab_variables
from tests.support.lab import ROOT, Lab, changes, playbook, wait_until

pytestmark = pytest.mark.lab
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace or an account")
ACCOUNT = "labtester"


def rows(lab: Lab) -> int:
    with psycopg2.connect(lab.database_url) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "LiteLLM_SpendLogs"')
        return cursor.fetchone()[0]


def ask(lab: Lab) -> dict:
    body = {"model": lab.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    return lab.hub("/v1/chat/completions", body, key=lab.notebook_key)


def test_a_second_run_changes_nothing(lab: Lab):
    run = playbook("site", lab.variables)
    assert run.returncode == 0, run.stdout[-6000:]
    assert changes(run) == 0, run.stdout


def test_check_mode_passes_on_a_fresh_host_and_makes_nothing(lab_folder: Path):
    home = lab_folder / "virgin"
    run = playbook("site", lab_variables(home), "--check")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) > 0
    assert not home.exists()


def test_login_prints_the_address_with_its_token(lab: Lab):
    assert f"{lab.jupyter_url}/lab?token={lab.jupyter_token}" in playbook("login", lab.variables).stdout


@pytest.mark.parametrize("answer", ["no", ""])
def test_nothing_is_removed_without_a_typed_yes(lab: Lab, answer: str):
    run = playbook("clean", lab.variables | {"clean_confirmation": answer})
    assert run.returncode != 0
    assert "nothing was removed" in run.stdout
    assert ask(lab)["choices"]


def test_a_killed_jupyterlab_is_back(lab: Lab):
    killed = lab.kill("jupyterlab")
    lab.wait_ready(60)
    assert lab.pid("jupyterlab") != killed


def test_two_labs_live_side_by_side(lab: Lab, other: tuple[Lab, dict[str, object]]):
    second, _ = other
    assert ask(lab)["choices"]
    assert ask(second)["choices"]
    assert second.master_key != lab.master_key
    with pytest.raises(urllib.error.HTTPError) as refused:
        second.hub("/v1/models", key=lab.notebook_key)
    assert refused.value.code == 401


def test_a_port_of_another_lab_is_named_with_its_lab(lab: Lab, other: tuple[Lab, dict[str, object]]):
    _, variables = other
    run = playbook("site", variables | {"hub_port": lab.variables["hub_port"]})
    assert run.returncode != 0
    assert f"hub_port={lab.variables['hub_port']}: the port is taken by" in run.stdout
    assert f"of the lab in {lab.home}" in run.stdout


def test_down_leaves_no_process_and_up_loses_no_row(lab: Lab, other: tuple[Lab, dict[str, object]]):
    second, variables = other
    answered = [ask(second)["id"] for _ in range(5)]
    down = playbook("down", variables)
    assert down.returncode == 0, down.stdout
    assert second.processes() == {}
    assert lab.processes()
    assert changes(playbook("down", variables)) == 0
    up = playbook("site", variables)
    assert up.returncode == 0, up.stdout[-6000:]
    with psycopg2.connect(second.database_url) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT request_id FROM "LiteLLM_SpendLogs" WHERE request_id = ANY(%s)', (answered,))
        assert sorted(row[0] for row in cursor.fetchall()) == sorted(answered)


@as_root
def test_a_lab_that_is_installed_needs_no_network(other: tuple[Lab, dict[str, object]]):
    """Down, then up twice inside a network namespace with nothing but loopback."""
    second, variables = other
    assert playbook("down", variables).returncode == 0
    extra = " ".join(f"-e {name}={value}" for name, value in variables.items())
    up = f"{sys.executable} bootstrap.py && {Path(sys.executable).with_name('ansible-playbook')} site.yml {extra}"
    script = f"ip link set lo up && ({up}) && echo AGAIN && ({up}) && {up.split(' && ')[1].replace('site', 'down')}"
    run = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], cwd=ROOT / "ansible", capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    second_run = run.stdout.split("AGAIN")[1].split("PLAY [Stop")[0]
    assert "changed=0" in second_run, second_run
    assert second.processes() == {}
    assert playbook("site", variables).returncode == 0


def test_an_edited_notebook_is_kept(lab: Lab):
    notebook = lab.notebooks / "chat.ipynb"
    shipped = notebook.read_bytes()
    notebook.write_bytes(shipped + b"\n")
    try:
        assert changes(playbook("site", lab.variables)) == 0
        assert notebook.read_bytes() == shipped + b"\n"
    finally:
        notebook.write_bytes(shipped)


@as_root
def test_an_ordinary_user_gets_a_lab_from_a_fresh_clone(lab_folder: Path):
    """The README's first command in a clone, without root, sudo, pip or the venv module's help."""
    subprocess.run(["userdel", "--remove", ACCOUNT], check=False, capture_output=True)  # of an interrupted run
    subprocess.run(["useradd", "--create-home", ACCOUNT], check=True, capture_output=True)
    home = Path(f"/home/{ACCOUNT}")
    clone = home / "clone"
    subprocess.run(["git", "-c", f"safe.directory={ROOT}", "clone", "--quiet", f"file://{ROOT}", clone], check=True)
    subprocess.run(["chown", "-R", f"{ACCOUNT}:", clone], check=True)
    variables = {
        name: value for name, value in lab_variables(home / ".local/share/genailabs").items() if name != "lab_home"
    }
    arguments = f"ARGS={' '.join(f'-e {name}={value}' for name, value in variables.items())}"
    as_user = [
        "setpriv",
        "--reuid",
        ACCOUNT,
        "--regid",
        ACCOUNT,
        "--init-groups",
        "env",
        "-i",
        f"HOME={home}",
        "PATH=/usr/bin:/bin",
    ]

    def make(target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*as_user, "make", target, arguments], cwd=clone, capture_output=True, text=True, check=False
        )

    try:
        first = make("up")
        assert first.returncode == 0, first.stdout[-6000:] + first.stderr[-3000:]
        second = make("up")
        assert changes(second) == 0, second.stdout
        mine = Lab(home / ".local/share/genailabs")
        assert ask(mine)["choices"]
        owners = {Path(f"/proc/{process}").stat().st_uid for process in mine.processes()}
        assert owners == {clone.stat().st_uid}
        assert make("down").returncode == 0
        wait_until(lambda: not mine.processes(), 10, "all processes have ended")
    finally:
        make("down")
        subprocess.run(["userdel", "--remove", ACCOUNT], check=True, capture_output=True)
