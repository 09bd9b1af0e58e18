"""JupyterHub for a class: each person has the own key, files and server, and what is another's stays closed.

From a real kernel of Anna's; beside each attempt at Ben's stands the same call for the own thing, which works.
"""

from __future__ import annotations

import ast
import json
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, changes, playbook, wait_until
from tests.support.seat import Seat

pytestmark = [pytest.mark.lab, pytest.mark.long]  # six minutes
LIST = "name,team,role\nanna,class-a,student\nben,class-a,student\ncarla,class-a,teacher\ndora,class-b,teacher\n"
READ = "from pathlib import Path; print(Path({path!r}).read_text())"


@pytest.fixture(scope="module")
def hub(ollama: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab, with a workbench for each person of a class; one JupyterLab again afterwards."""
    mark = ollama.notebooks / "before.txt"
    mark.write_text("kept")
    home = {"lab_home": str(ollama.home)}
    made = playbook("site", home | {"workbench_kind": "jupyterhub"}, "--tags", "service,jupyterhub,smoke")
    assert made.returncode == 0, made.stdout[-6000:] + made.stderr
    assert f"JupyterHub  {ollama.jupyter_url}" in made.stdout
    names = tmp_path_factory.mktemp("class") / "list.csv"
    names.write_text(LIST)
    taught = playbook("class", home | {"class_names": str(names)})
    assert taught.returncode == 0, taught.stdout + taught.stderr
    yield ollama
    back = playbook("site", home | {"workbench_kind": "jupyterlab"})
    assert back.returncode == 0, back.stdout[-6000:] + back.stderr
    assert mark.read_text() == "kept"
    assert (ollama.home / "homes/anna/notebooks/chat.ipynb").exists()
    assert not people_run(ollama)
    mark.unlink()


@pytest.fixture(scope="module")
def seats(hub: Lab) -> dict[str, Seat]:
    """Everybody at work."""
    passwords = json.loads((hub.home / "people/people.json").read_text())["passwords"]
    seats = {name: Seat(hub.jupyter_url, name, first, f"{name}s-own-password") for name, first in passwords.items()}
    for seat in seats.values():
        seat.sign_in(seat.first)
        seat.choose_password()
        seat.start()
    return seats


@pytest.fixture(scope="module")
def anna(seats: dict[str, Seat]) -> Seat:
    return seats["anna"]


@pytest.fixture(scope="module")
def ben(seats: dict[str, Seat]) -> Seat:
    return seats["ben"]


def people_run(lab: Lab) -> list[str]:
    """Command lines of processes of people's accounts."""
    uids = {entry.pw_uid for entry in pwd.getpwall() if Path(entry.pw_dir).parent == lab.home / "homes"}
    found = (Path("/proc", str(process)) for process in lab.processes())
    return [str(process) for process in found if process.exists() and process.stat().st_uid in uids]


def keys(lab: Lab) -> dict[str, str]:
    return dict(json.loads((lab.home / "people/people.json").read_text())["keys"])


def test_the_hand_outs_password_opens_one_visit_in_which_another_is_chosen(hub: Lab, seats: dict[str, Seat]) -> None:
    dora = seats["dora"]
    page = (hub.home / "people/dora.md").read_text()
    assert dora.first in page
    assert hub.jupyter_url in page
    assert dora.sign_in(dora.first).status_code == 403, "it was for one visit"
    assert dora.sign_in(dora.own).status_code == 200
    stranger = Seat(hub.jupyter_url, "zoe", "", "")
    assert stranger.sign_in("whatever-she-says").status_code == 403
    reset = playbook("class", {"lab_home": str(hub.home), "class_do": "password dora"})
    assert reset.returncode == 0, reset.stdout
    again = json.loads((hub.home / "people/people.json").read_text())["passwords"]["dora"]
    assert "auth/change-password" in str(dora.sign_in(again).url), "the first page asks for a password of her own"
    refused = dora.browser.get("/hub/spawn")
    assert "auth/change-password" in refused.text or "/user/dora" in str(refused.url)
    assert dora.sign_in(dora.own).status_code == 403, "the forgotten one is no more"
    dora.sign_in(again)
    dora.choose_password()
    assert dora.sign_in(dora.own).status_code == 200


def test_a_server_has_its_own_key_and_nothing_of_the_hubs(hub: Lab, anna: Seat, ben: Seat) -> None:
    told = "import os; print(os.environ['LITELLM_API_KEY'])"
    assert anna.run(told).strip() == keys(hub)["anna"]
    assert ben.run(told).strip() == keys(hub)["ben"]
    others = "import os; print([name for name in os.environ if 'CONFIGPROXY' in name or 'SUPERVISOR' in name])"
    assert anna.run(others).strip() == "[]"
    asked = "from litellm_hub.client import HubClient; print(HubClient().models())"
    assert sorted(hub.models) == sorted(ast.literal_eval(anna.run(asked)))


def test_the_environment_of_anothers_processes_is_closed(hub: Lab, anna: Seat, ben: Seat) -> None:
    own, others = (seat.run("import os; print(os.getpid())").strip() for seat in (anna, ben))
    read = "print(open('/proc/{process}/environ').read())"
    assert keys(hub)["anna"] in anna.run(read.format(process=own))
    assert "PermissionError" in anna.run(read.format(process=others))


def test_homes_with_notebooks_and_conversations_are_their_owners(hub: Lab, anna: Seat, ben: Seat) -> None:
    for seat in (anna, ben):
        seat.run("from pathlib import Path; Path.home().joinpath('notebooks/mine.txt').write_text('secret')")
    own, others = (str(hub.home / f"homes/{name}/notebooks/mine.txt") for name in ("anna", "ben"))
    assert anna.run(READ.format(path=own)).strip() == "secret"
    assert "PermissionError" in anna.run(READ.format(path=others))
    assert "PermissionError" in anna.run(f"import os; print(os.listdir({str(hub.home / 'homes')!r}))")


def test_anothers_server_does_not_answer_through_the_proxy_nor_beside_it(seats: dict[str, Seat]) -> None:
    anna, ben, carla = (seats[name] for name in ("anna", "ben", "carla"))
    assert carla.ask("/user/anna/api/kernels").status_code == 403, "a teacher neither"
    for path in ("api/kernels", "api/contents", "lab"):
        assert anna.ask(f"/user/anna/{path}").status_code == 200
        assert anna.ask(f"/user/ben/{path}").status_code == 403
    there = "import os; print(os.environ['JUPYTERHUB_SERVICE_URL'])"
    status = """
import os, httpx
answer = httpx.get({url!r} + 'api/kernels', headers={{'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}})
print(answer.status_code)"""
    assert anna.run(status.format(url=anna.run(there).strip())).strip() == "200"
    assert anna.run(status.format(url=ben.run(there).strip())).strip() == "403"


def test_anothers_kernels_have_no_door(anna: Seat, ben: Seat) -> None:
    assert "-ipc-" in anna.run("import os; print(os.listdir(os.environ['JUPYTER_RUNTIME_DIR']))")
    theirs = ben.run("import os; print(os.environ['JUPYTER_RUNTIME_DIR'])").strip()
    assert "PermissionError" in anna.run(f"import os; print(os.listdir({theirs!r}))")


def test_what_is_the_services_or_the_teachers_is_closed(hub: Lab, anna: Seat) -> None:
    mine = str(hub.home / "config/jupyterhub/server.json")
    assert "labextensions" in anna.run(READ.format(path=mine)), "what servers read is open to them"
    closed = ["secrets.env", "people/people.json", "people/anna.md", "people/ben.md", "notebook.env"]
    closed += [f"config/jupyterhub/{name}" for name in ("people.json", "hub.py", "hub.env", "proxy.env")]
    kept = [path.name for path in (hub.home / "data/jupyterhub").iterdir()]
    assert {"cookie_secret", "hub.sqlite"} < set(kept)
    closed += [f"data/jupyterhub/{name}" for name in kept]
    closed += ["config/gateway.env", "logs/workbench/jupyterhub.log"]
    for name in closed:
        assert (hub.home / name).exists(), name
        assert "PermissionError" in anna.run(READ.format(path=str(hub.home / name))), name
    connect = "import socket; print(socket.socket(socket.AF_UNIX).connect({path!r}))"
    assert "None" in anna.run(connect.format(path=str(hub.home / "run/workbench/hub.sock")))
    for name in ("notebook/proxy.sock", "workbench/supervisor.sock"):
        assert "PermissionError" in anna.run(connect.format(path=str(hub.home / "run" / name))), name


def test_secrets_are_kept_between_starts_and_a_hub_finds_the_servers_again(hub: Lab, anna: Seat) -> None:
    cookie = hub.home / "data/jupyterhub/cookie_secret"
    assert cookie.stat().st_mode & 0o077 == 0
    before, kernel = cookie.read_bytes(), anna.run("import os; print(os.getpid())")
    again = {"lab_home": str(hub.home), "jupyterhub_idle_timeout": 7200}
    assert playbook("site", again, "--tags", "jupyterhub").returncode == 0
    assert cookie.read_bytes() == before
    assert anna.browser.get("/hub/api/users/anna").json()["name"] == "anna", "still signed in"
    assert anna.run("import os; print(os.getpid())") == kernel
    hub.kill("proxy")
    wait_until(anna.reaches_the_server, 60, "a new proxy knows the way")


def test_teachers_give_material_to_their_team_and_see_what_is_handed_in(seats: dict[str, Seat]) -> None:
    anna, ben, carla, dora = (seats[name] for name in ("anna", "ben", "carla", "dora"))
    home = "from pathlib import Path; home = Path.home(); "
    assert "Error" not in carla.run(home + "(home / 'materials/one.txt').write_text('read this')")
    assert anna.run(home + "print((home / 'materials/one.txt').read_text())").strip() == "read this"
    assert "PermissionError" in anna.run(home + "(home / 'materials/two.txt').write_text('mine')")
    for seat in (anna, ben):
        assert "Error" not in seat.run(home + "(home / 'hand-in/work.txt').write_text('done')")
    folder = anna.run(home + "print((home / 'hand-in').resolve())").strip()
    assert anna.run(READ.format(path=f"{folder}/work.txt")).strip() == "done"
    assert "PermissionError" in anna.run(READ.format(path=f"{folder}/../ben/work.txt"))
    assert carla.run(home + "print((home / 'hand-in/anna/work.txt').read_text())").strip() == "done"
    assert "PermissionError" in dora.run(READ.format(path=f"{folder}/work.txt")), "another team's teacher"
    assert "PermissionError" in carla.run(home + "(home / 'hand-in/anna/work.txt').write_text('better')")


def test_who_leaves_the_list_is_out(hub: Lab, seats: dict[str, Seat], tmp_path: Path) -> None:
    home = {"lab_home": str(hub.home)}
    ben = seats["ben"]
    assert ben.sign_in(ben.own).status_code == 200
    names = tmp_path / "list.csv"
    names.write_text("".join(line for line in LIST.splitlines(keepends=True) if "ben" not in line))
    assert playbook("class", home | {"class_names": str(names)}).returncode == 0
    assert ben.sign_in(ben.own).status_code == 403
    assert (hub.home / "homes/ben/notebooks/mine.txt").exists(), "what he made is kept"
    assert subprocess.run(["pgrep", "-u", "lab-ben"], check=False).returncode == 1


def test_status_login_and_down_know_it(hub: Lab) -> None:
    home = {"lab_home": str(hub.home)}
    status = playbook("status", home)
    assert status.returncode == 0, status.stdout
    assert "jupyterhub" in status.stdout
    assert "proxy" in status.stdout
    assert hub.jupyter_url in playbook("login", home).stdout
    down = playbook("down", home)
    assert down.returncode == 0, down.stdout
    assert hub.processes() == {}
    assert people_run(hub) == []
    assert changes(playbook("down", home)) == 0
