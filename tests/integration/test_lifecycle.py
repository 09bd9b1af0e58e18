"""Up again, down and up, two labs side by side, without a network, as an ordinary user."""

import os
import shlex
import subprocess
import sys
import urllib.error
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.conftest import lab_variables
from tests.support.lab import ROOT, Lab, changes, playbook, wait_until

pytestmark = pytest.mark.lab
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace or an account")
ACCOUNT = "labtester"
COUNT_ROWS = """
import psycopg2, sys
with psycopg2.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    query = "SELECT count(*) FROM \\"LiteLLM_SpendLogs\\" WHERE request_id = ANY(%s)"
    cursor.execute(query, (sys.argv[2:],))
    print(cursor.fetchone()[0], "rows are there")
"""

ASK_WITH_KEYS = """
import psycopg2, sys, urllib.error, urllib.request
hub, notebook, child, reader = sys.argv[1:]
def status(key, path, body=None):
    headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    try:
        return urllib.request.urlopen(urllib.request.Request(hub + path, body, headers), timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code
psycopg2.connect(reader).close()
print("statuses", status(child, "/key/info"), status(notebook, "/key/generate", b"{}"), status(notebook, "/v1/models"))
"""


def make_older(lab: Lab) -> str:
    """Leave a lab as labs were before keys had routes; return a key that a notebook made itself there."""
    lab.hub("/user/update", {"user_id": "notebook", "user_role": "internal_user"})
    lab.hub("/key/update", {"key": lab.notebook_key, "allowed_routes": []})
    with closing(psycopg2.connect(lab.reader_url.replace("+psycopg2", ""))) as connection:
        connection.set_session(readonly=False, autocommit=True)
        connection.cursor().execute("ALTER ROLE lab_reader PASSWORD 'mine'")
        connection.cursor().execute("ALTER ROLE lab_reader SET statement_timeout = 0")
    return str(lab.hub("/key/generate", {}, key=lab.notebook_key)["key"])


def ask(lab: Lab) -> dict:
    body = {"model": lab.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    return lab.hub("/v1/chat/completions", body, key=lab.notebook_key)


def test_a_second_run_changes_nothing_and_keeps_an_edited_notebook(lab: Lab):
    notebook = lab.notebooks / "chat.ipynb"
    shipped = notebook.read_bytes()
    notebook.write_bytes(shipped + b"\n")
    try:
        run = playbook("site", lab.variables)
        assert run.returncode == 0, run.stdout[-6000:]
        assert changes(run) == 0, run.stdout
        assert notebook.read_bytes() == shipped + b"\n"
    finally:
        notebook.write_bytes(shipped)


def test_check_mode_passes_on_a_fresh_host_and_makes_nothing(lab_folder: Path):
    home = lab_folder / "virgin"
    run = playbook("site", lab_variables(home), "--check")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) > 0
    assert not home.exists()


def test_check_mode_of_a_running_lab_finds_nothing_to_change(lab: Lab):
    run = playbook("site", lab.variables, "--check")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) == 0, run.stdout


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


def test_down_leaves_no_process_and_up_again_needs_no_network_loses_no_row_and_mends_keys(
    lab: Lab, other: tuple[Lab, dict[str, object]]
):
    """Root does the second part inside a network namespace with nothing but loopback."""
    second, variables = other
    child = make_older(second)
    answered = [ask(second)["id"] for _ in range(5)]
    assert playbook("down", variables).returncode == 0
    assert second.processes() == {}
    assert lab.processes()
    assert changes(playbook("down", variables)) == 0
    extra = " ".join(f"-e {name}={value}" for name, value in variables.items())
    play = f"{Path(sys.executable).with_name('ansible-playbook')} %s.yml {extra}"
    up = f"{sys.executable} bootstrap.py && {play % 'site'}"
    rows = f"{sys.executable} -c '{COUNT_ROWS}' {second.database_url} {' '.join(answered)}"
    asked = shlex.join([second.hub_url, second.notebook_key, child, second.reader_url.replace("+psycopg2", "")])
    rows = f"{sys.executable} -c '{ASK_WITH_KEYS}' {asked} && {rows}"
    script = f"({up}) && {rows} && ({up}) && echo DOWN && {play % 'down'}"
    isolated = ["unshare", "--net", "sh", "-c", f"ip link set lo up && {script}"]
    run = subprocess.run(
        isolated if os.geteuid() == 0 else ["sh", "-c", script],
        cwd=ROOT / "ansible",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    again = run.stdout.split("5 rows are there")[1].split("DOWN")[0]
    assert "changed=0" in again, again
    assert "statuses 401 403 200" in run.stdout, "the notebook's own key is gone, its routes are listed"
    assert second.processes() == {}


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
