"""The lab is stopped, started without a network, and removed: these tests come last."""

from __future__ import annotations

import urllib.error
from contextlib import closing

import psycopg2
import pytest

from tests.support import folders
from tests.support.lab import Lab, changes, playbook

pytestmark = pytest.mark.lab
NOBODY = "http://127.0.0.1:9"
# Every source of software is away, and a proxy that does not answer must not come between the lab's own parts.
NO_NETWORK = {
    "UV_DEFAULT_INDEX": f"{NOBODY}/simple",
    "npm_config_registry": NOBODY,
    **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), NOBODY),
}


def ask(lab: Lab) -> dict:
    body = {"model": lab.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    return lab.hub("/v1/chat/completions", body, key=lab.notebook_key)


def status(lab: Lab, key: str, path: str, body: dict | None = None) -> int:
    try:
        lab.hub(path, body, key)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def make_older(lab: Lab) -> str:
    """Leave a lab as labs were before keys had routes; return a key that a notebook made itself there."""
    lab.hub("/user/update", {"user_id": "notebook", "user_role": "internal_user"})
    lab.hub("/key/update", {"key": lab.notebook_key, "allowed_routes": []})
    with closing(psycopg2.connect(lab.reader_url.replace("+psycopg2", ""))) as connection:
        connection.set_session(readonly=False, autocommit=True)
        connection.cursor().execute("ALTER ROLE lab_reader PASSWORD 'mine'")
        connection.cursor().execute("ALTER ROLE lab_reader SET statement_timeout = 0")
    return str(lab.hub("/key/generate", {}, key=lab.notebook_key)["key"])


def rows(lab: Lab, requests: list[str]) -> int:
    with closing(psycopg2.connect(lab.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE request_id = ANY(%s)', (requests,))
        [(found,)] = cursor.fetchall()
        return int(found)


def test_down_leaves_no_process_and_up_again_needs_no_network_loses_no_row_and_mends_keys(lab: Lab) -> None:
    variables = lab.variables
    child = make_older(lab)
    answered = [ask(lab)["id"] for _ in range(5)]
    notebook = lab.notebooks / "chat.ipynb"
    edited = notebook.read_bytes() + b"\n"
    notebook.write_bytes(edited)
    assert playbook("down", variables).returncode == 0
    assert lab.processes() == {}
    assert changes(playbook("down", variables)) == 0
    said = playbook("status", {"lab_home": str(lab.home)})
    assert said.returncode != 0
    assert "Not all of it runs. Start the lab: make up" in said.stdout
    assert [line.split()[0] for line in said.stdout.splitlines() if line.endswith("DOWN")][:2] == [
        "database",
        "gateway",
    ]
    run = playbook("site", variables, **NO_NETWORK)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert rows(lab, answered) == 5
    assert status(lab, child, "/key/info") == 401, "the key that a notebook made is gone"
    assert status(lab, lab.notebook_key, "/key/generate", {}) == 403, "the notebooks' key may not make any"
    assert status(lab, lab.notebook_key, "/v1/models") == 200
    psycopg2.connect(lab.reader_url.replace("+psycopg2", "")).close()
    assert notebook.read_bytes() == edited


@pytest.mark.parametrize("answer", ["no", ""])
def test_nothing_is_removed_without_a_typed_yes(lab: Lab, answer: str) -> None:
    run = playbook("clean", lab.variables | {"clean_confirmation": answer})
    assert run.returncode != 0
    assert "nothing was removed" in run.stdout
    assert ask(lab)["choices"]


def test_clean_leaves_neither_process_nor_folder(lab: Lab) -> None:
    if lab.home.parent.parent != folders.PARENT:
        pytest.skip("this lab was not made for the tests")
    variables = lab.variables
    run = playbook("clean", variables | {"clean_confirmation": "yes"})
    assert run.returncode == 0, run.stdout[-6000:]
    assert not lab.home.exists()
    assert lab.processes() == {}
    again = playbook("clean", variables | {"clean_confirmation": "yes"})
    assert "there is no lab" in again.stdout
