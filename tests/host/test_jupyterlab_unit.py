"""JupyterLab as a systemd service on a remote host, beside a stand-in for the hub that knows the notebooks' key."""

from __future__ import annotations

import re

from tests.host.conftest import Site
from tests.host.test_runtime_unit import HOME, succeeded
from tests.support.lab import wait_until

UNIT = "genailabs-jupyterlab.service"
ROUTES = ["/v1/models"]
HUB = """
import http.server, json

KEY = {"info": {"max_budget": 10.0, "allowed_routes": ROUTES}}
ANSWERS = {"/v2/user/info": {"user_role": "internal_user_viewer"}, "/key/info": KEY, "/key/list": {"keys": []}}

class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(ANSWERS[self.path.partition("?")[0]]).encode())

http.server.HTTPServer(("127.0.0.1", 4100), Hub).serve_forever()
""".replace("ROUTES", str(ROUTES))
PARTS = {
    "host_parts": ["base", "supervisor", "jupyterlab"],
    "database_cluster": {"changed": False},
    "gateway_key_routes": ROUTES,
    "lab_hub_accounts": ["root"],  # as which the stand-in runs
}
# A cell that finds out what a notebook may do: its own folder is writable, the system and the secrets are not.
PROBE = """
import json, os, pathlib
def writes(path):
    try:
        pathlib.Path(path, "probe").touch()
    except OSError:
        return False
    return True
def reads(path):
    try:
        return bool(pathlib.Path(path).read_bytes())
    except OSError:
        return False
places = (".", "/tmp", "/etc", "/opt/genailabs/models")
print(json.dumps([*map(writes, places), reads("/opt/genailabs/secrets.env")]))
"""


def test_jupyterlab_runs_hardened_and_notebooks_can_be_written(site: Site) -> None:
    site.machine.write("/opt/hub.py", HUB)
    site.machine.run("systemd-run", "--unit=hub-stand-in", "/usr/bin/python3", "/opt/hub.py")
    assert succeeded(site.play(**PARTS)) > 0
    assert site.machine.property(UNIT, "User") == "genailab-notebook"
    assert "version" in site.machine.request(8888, "/api")
    print(site.machine.run("systemd-analyze", "security", UNIT, "--no-pager").splitlines()[-1])
    process = site.machine.property(UNIT, "MainPID")
    environment = site.machine.run("cat", f"/proc/{process}/environ")
    assert "LITELLM_API_KEY=sk-" in environment
    inside = ["nsenter", "-t", process, "-m", "setpriv", "--reuid=genailab-notebook", "--regid=genailab-notebook"]
    inside += ["--init-groups", "--no-new-privs", "env", "-C", f"{HOME}/notebooks", "python3", "-c", PROBE]
    assert site.machine.run(*inside).strip() == "[true, true, false, false, false]"
    assert succeeded(site.play(**PARTS)) == 0


def test_a_killed_jupyterlab_comes_back_and_down_keeps_it_down(site: Site) -> None:
    before = site.machine.property(UNIT, "MainPID")
    site.machine.run("kill", "-KILL", before)
    wait_until(lambda: site.machine.property(UNIT, "MainPID") not in ("0", before), 30, "JupyterLab's return")
    assert succeeded(site.playbook("down")) == 1
    assert site.machine.property(UNIT, "ActiveState") == "inactive"
    succeeded(site.playbook("clean", clean_confirmation="yes"))
    assert not re.search("genailabs", site.machine.run("ls", "/etc/systemd/system"))
    site.machine.run("systemctl", "stop", "hub-stand-in")
