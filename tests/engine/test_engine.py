"""The query engine as LiteLLM meets it: through the Prisma client of the gateway's environment."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.support import CASES, counts, free_port, gateway_environment, migrate, run_cases, wait_for

CASE_NAMES = [
    name
    for module in sorted(CASES.glob("*.py"))
    for name in re.findall(r"^async def (case_\w+)", module.read_text(), re.MULTILINE)
]


@pytest.fixture(scope="session")
def gateway_database(gateway_env, scratch_postgres):
    url = scratch_postgres.create_database("engine")
    assert counts(migrate(gateway_env, url))["pending"] == 0
    return url


@pytest.fixture(scope="session")
def results(request, gateway_env, gateway_database, scratch_postgres):
    """Results of all selected cases, from one process."""
    selected = [item.callspec.params["case"] for item in request.session.items if item.name.startswith("test_client[")]
    environment = gateway_environment(gateway_env, gateway_database)
    return run_cases(selected, environment, gateway_env.python, scratch_postgres)


@pytest.mark.parametrize("case", CASE_NAMES)
def test_client(case, results):
    if results[case] is not None:
        pytest.fail(results[case], pytrace=False)


def is_running(pid):
    """Whether a process exists and is more than an entry waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def answers(port):
    """Whether something listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def engine_environment(gateway_env, url):
    """What the Prisma client gives to the engine that it starts."""
    schema = next(gateway_env.python.parent.parent.glob("lib/python*/site-packages/prisma/schema.prisma"))
    return gateway_environment(gateway_env, url) | {"PRISMA_DML_PATH": str(schema)}


PARENT = """
import subprocess, sys
engine = subprocess.Popen(sys.argv[1:])
print(engine.pid, flush=True)
engine.wait()
"""


def test_engine_ends_when_its_parent_is_killed(gateway_env, gateway_database):
    port = free_port()
    engine = [gateway_env.engine_dir / "prisma-query-engine.mjs", "-p", str(port)]
    environment = engine_environment(gateway_env, gateway_database)
    with subprocess.Popen([sys.executable, "-c", PARENT, *engine], env=environment, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        wait_for(lambda: answers(port), seconds=30)
        parent.kill()
        wait_for(lambda: not is_running(pid), seconds=10)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace("/engine", "/nosuch"), 'database "nosuch" does not exist'),
        (lambda url: re.sub(r":\d+/", ":1/", url), "ECONNREFUSED"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:x"), "not a valid URL"),
    ],
    ids=["unknown database", "nothing listens", "malformed"],
)
def test_engine_names_a_wrong_database_and_hides_the_password(change, reason, gateway_env, gateway_database):
    url = change(gateway_database.replace("postgres@", "postgres:s3cret@"))
    result = subprocess.run(
        [gateway_env.engine_dir / "prisma-query-engine.mjs", "-p", str(free_port())],
        env=engine_environment(gateway_env, url), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert reason in json.loads(result.stderr)["error"]
    assert "s3cret" not in result.stdout + result.stderr


READ_CONNECTION = """
import { readConnection } from '%s/database.mjs';
const { address, schema, pool } = readConnection(process.argv[1]);
console.log(JSON.stringify({ address, schema, ...pool }));
"""


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", {"max": 10, "connectionTimeoutMillis": 10_000, "idleTimeoutMillis": 300_000, "ssl": False}),
        ("connection_limit=3&pool_timeout=0", {"max": 3, "connectionTimeoutMillis": 0}),
        ("max_idle_connection_lifetime=60", {"idleTimeoutMillis": 60_000}),
        ("schema=lab", {"schema": "lab", "options": '-c timezone=UTC -c search_path="lab"'}),
        ("options=-c%20lock_timeout%3D5s", {"options": "-c timezone=UTC -c lock_timeout=5s"}),
        ("sslmode=prefer", {"ssl": False}),
        ("sslmode=require", {"ssl": {"rejectUnauthorized": False}}),
        ("sslmode=require&sslaccept=strict", {"ssl": {"rejectUnauthorized": True}}),
        ("pgbouncer=true&connect_timeout=5", {"connectionString": "postgresql://a:b%20c@h/d"}),
        (
            "application_name=x",
            {"connectionString": "postgresql://a:b%20c@h/d?application_name=x", "address": "h:5432"},
        ),
    ],
)
def test_url_parameters_mean_what_prisma_says(parameters, expected, gateway_env):
    script = READ_CONNECTION % gateway_env.engine_dir
    command = [
        gateway_env.node_bin / "node",
        "--input-type=module",
        "-e",
        script,
        f"postgresql://a:b%20c@h/d?{parameters}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    connection = json.loads(result.stdout)
    assert {name: connection.get(name) for name in expected} == expected
