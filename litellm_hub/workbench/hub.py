"""JupyterHub as a lab runs it: one server for each person of the list, as that person's account, with that key.

The hub and the proxy in front of it talk over Unix sockets in folders of their accounts: a port that a person's process
could take while one of them is down does not exist. Kernels do the same.
"""

from __future__ import annotations

import dbm
import hashlib
import html
import json
import os
import pwd
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bcrypt
from firstuseauthenticator import FirstUseAuthenticator
from jupyterhub.spawner import LocalProcessSpawner, SpawnException
from traitlets import Unicode

from litellm_hub.workbench.people import TEACHER, Person, load
from litellm_hub.workbench.server import LINKS, NOTEBOOKS

RUNTIME = Path("/run/genailabs")  # short: the path of a kernel's socket has 107 characters at most
PASSWORD_PAGE = "auth/change-password"  # noqa: S105 - an address
PASSWORD_MINIMUM = 10
ROUTES_S = 15  # a proxy that starts anew has forgotten every route, and gets them back within this time
BCRYPT_MAXIMUM = 72  # bytes of a password; a longer one is an error to it


class FirstPasswordAuthenticator(FirstUseAuthenticator):
    """Sign-in by a password of the person's own, after the first one, which the hand-out names.

    Another first password on the hand-out takes the place of whatever the person has chosen.
    """

    people: Callable[[], dict[str, Person]] = staticmethod(dict)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """Give the name of who signs in, None where that is nobody of the list or the password is another."""
        name = self.normalize_username(data["username"])
        person = self.people().get(name)
        if person is None or not person.first_password or len(data["password"].encode()) > BCRYPT_MAXIMUM:
            return None
        self.take(person)
        return await super().authenticate(handler, data)

    def take(self, person: Person) -> None:
        """Make the hand-out's password the person's, once."""
        taken, digest = f"{person.name} first", hashlib.sha256(person.first_password.encode()).hexdigest().encode()
        with dbm.open(self.dbm_path, "c", 0o600) as store:
            if person.name in store and store.get(taken) == digest:
                return
            store[person.name] = bcrypt.hashpw(person.first_password.encode(), bcrypt.gensalt())
            store[taken] = digest

    def has_first(self, person: Person) -> bool:
        """Whether the hand-out's password still opens the sign-in."""
        self.take(person)
        with dbm.open(self.dbm_path, "r") as store:
            return bool(bcrypt.checkpw(person.first_password.encode(), store[person.name]))


class AccountSpawner(LocalProcessSpawner):
    """Starts a person's server as the person's account, whose name begins with the lab's prefix."""

    prefix = Unicode("", config=True, help="What the names of the accounts begin with.")

    @property
    def account(self) -> str:
        """The account of the host."""
        return f"{self.prefix}{self.user.name}"

    async def poll(self) -> int | None:
        """Whether the server runs. After a start of the host its number may be another's, who is not to be ended."""
        if self.proc is None and self.pid and owner(self.pid) != pwd.getpwnam(self.account).pw_uid:
            self.clear_state()
            return 0
        return await super().poll()

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What makes the child the account's."""
        return super().make_preexec_fn(self.account)

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The environment with the account's home."""
        return env | {"USER": self.account, "HOME": pwd.getpwnam(self.account).pw_dir, "SHELL": "/bin/bash"}


def owner(process: int) -> int | None:
    """The account of a process, None where there is none."""
    try:
        return Path(f"/proc/{process}").stat().st_uid
    except OSError:
        return None


def socket_url(path: str) -> str:
    """A Unix socket as JupyterHub's settings name it."""
    return f"http+unix://{quote(path, safe='')}"


def runtime_folder(account: str) -> Path:
    """The folder of an account's sockets, in one of root's, so that nobody else can have laid it."""
    entry = pwd.getpwnam(account)
    folder = RUNTIME / str(entry.pw_uid)
    for path, mode in ((RUNTIME, 0o755), (folder, 0o700)):
        path.mkdir(exist_ok=True)
        path.chmod(mode)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder


def environment(person: Person, settings: dict[str, Any]) -> dict[str, str]:
    """What a person's server has in its environment, the key among it; nothing of the hub's."""
    home, shared = settings["lab_home"], f"{settings['lab_home']}/shared/{person.team}"
    own_part = "" if person.role == TEACHER else f"/{person.name}"
    found = {
        "LITELLM_BASE_URL": settings["gateway_url"],
        "LITELLM_API_KEY": person.key,
        "LAB_SERVICE": f"{home}:person/{person.name}",
        "PATH": f"{settings['venv']}/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{home}/lib",
        "JUPYTER_RUNTIME_DIR": str(RUNTIME / str(pwd.getpwnam(person.account).pw_uid)),
        NOTEBOOKS: f"{home}/lib/share/genailabs/notebooks",
        LINKS: json.dumps({"materials": f"{shared}/materials", "hand-in": f"{shared}/hand-in{own_part}"}),
    }
    return found | ({"LAB_DATABASE_URL": person.database_url} if person.database_url else {})


def prepare_with(settings: dict[str, Any], people: Callable[[], dict[str, Person]]) -> Callable[[Any], None]:
    """What is done before a server starts.

    Args:
        settings: See `configure`.
        people: Gives the list as it is then.
    """

    def prepare(spawner: Any) -> None:
        person = people().get(spawner.user.name)
        if person is None or not person.valid(date.today()):
            why = f"{spawner.user.name} is not on the list of this lab's people. Ask who runs the lab."
            raise SpawnException(why, reason="list")
        authenticator = spawner.authenticator
        if isinstance(authenticator, FirstPasswordAuthenticator) and authenticator.has_first(person):
            page = html.escape(f"{spawner.hub.base_url}{PASSWORD_PAGE}")
            why = "The first password is for one visit: choose one of your own."
            link = f'The first password is for one visit: <a href="{page}">choose one of your own</a>.'
            raise SpawnException(why, reason="password", message_html=link)
        runtime_folder(person.account)
        spawner.environment = environment(person, settings)

    return prepare


def configure(c: Any, settings: dict[str, Any]) -> None:
    """Set JupyterHub up.

    Args:
        c: Its configuration.
        settings: `lab_home`, `lab_name`, `public_url` (of the proxy), `gateway_url`, `venv`, `auth` (native, pam),
            `prefix` (of the accounts' names), `systemd` (whether servers are units with limits), `memory_limit`,
            `cpu_limit`, `idle_timeout`, `culler_account`.
    """
    home = settings["lab_home"]

    def people() -> dict[str, Person]:
        return load(Path(home, "config/jupyterhub/people.json"))

    def known(authenticator: Any, handler: Any, authentication: dict[str, Any]) -> dict[str, Any] | None:
        person = people().get(authentication["name"])
        return authentication if person and person.valid(date.today()) else None

    def first_page(handler: Any) -> str:
        user, authenticator = handler.current_user, handler.authenticator
        person = people().get(user.name) if user else None
        if person and isinstance(authenticator, FirstPasswordAuthenticator) and authenticator.has_first(person):
            return f"{handler.hub.base_url}{PASSWORD_PAGE}"
        return ""

    hub = c.JupyterHub
    hub.bind_url = settings["public_url"]
    hub.hub_bind_url = hub.hub_connect_url = socket_url(f"{home}/run/workbench/hub.sock")
    hub.hub_socket_mode = 0o666
    hub.db_url = f"sqlite:///{home}/data/jupyterhub/hub.sqlite"
    hub.cookie_secret_file = f"{home}/data/jupyterhub/cookie_secret"
    hub.cleanup_servers = False  # a hub that starts anew finds the servers again, with their kernels
    hub.last_activity_interval = ROUTES_S
    hub.default_url = first_page
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = socket_url(f"{home}/run/notebook/proxy.sock")

    c.Authenticator.allow_all = True  # on the list, see `known`
    c.Authenticator.post_auth_hook = known
    if settings["auth"] == "pam":
        hub.authenticator_class = "pam"
        c.PAMAuthenticator.open_sessions = False
    else:
        FirstPasswordAuthenticator.people = staticmethod(people)
        hub.authenticator_class = FirstPasswordAuthenticator
        c.FirstUseAuthenticator.dbm_path = f"{home}/data/jupyterhub/passwords"
        c.FirstUseAuthenticator.min_password_length = PASSWORD_MINIMUM
        c.FirstUseAuthenticator.check_passwords_on_startup = False

    c.Spawner.pre_spawn_hook = prepare_with(settings, people)
    c.Spawner.env_keep = []
    c.Spawner.cmd = [f"{settings['venv']}/bin/python", "-m", "litellm_hub.workbench.server"]
    c.Spawner.args = [f"--config={home}/config/jupyterhub/server.json"]
    c.Spawner.notebook_dir = "~"
    c.Spawner.default_url = "/lab"
    c.Spawner.start_timeout = c.Spawner.http_timeout = 120
    if settings["systemd"]:
        hub.spawner_class = "systemd"
        c.SystemdSpawner.username_template = settings["prefix"] + "{USERNAME}"
        c.SystemdSpawner.unit_name_template = settings["lab_name"] + "-person-{USERNAME}"
        c.SystemdSpawner.default_shell = "/bin/bash"
        c.SystemdSpawner.isolate_tmp = True
        c.SystemdSpawner.mem_limit = settings["memory_limit"]
        c.SystemdSpawner.cpu_limit = settings["cpu_limit"]
        c.SystemdSpawner.unit_extra_properties = {"ProtectProc": "invisible"}
    else:
        hub.spawner_class = AccountSpawner
        c.AccountSpawner.prefix = settings["prefix"]

    culler = f"--timeout={settings['idle_timeout']}", f"--url={settings['public_url']}/hub/api"
    command = [f"{settings['venv']}/bin/python", "-m", "jupyterhub_idle_culler", *culler]
    hub.services = [{"name": "culler", "command": command, "user": settings["culler_account"]}]
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    hub.load_roles = [{"name": "culler", "scopes": scopes, "services": ["culler"]}]
