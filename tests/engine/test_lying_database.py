"""A stranger on the database's port learns no password, from none of the lab's three drivers."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote, urlsplit

import pytest

from litellm_hub import usage
from tests.conftest import GatewayEnv
from tests.support.lab import Lab, read_env
from tests.support.strangers import LIES, LyingPostgres, lying_postgres

pytestmark = pytest.mark.lab

QUERY_ENGINE = """
const { openPool, readConnection } = await import(process.argv[1]);
const pool = openPool(readConnection(process.argv[2]).pool, () => {});
await pool.query('SELECT 1').catch((error) => { console.error(error.message); process.exitCode = 3; });
await pool.end();
"""
PSYCOPG = "import sys, psycopg; psycopg.connect(sys.argv[1], connect_timeout=5)"
PSYCOPG2 = "import sys, psycopg2; psycopg2.connect(sys.argv[1], connect_timeout=5)"


@pytest.fixture(params=list(LIES))
def liar(request: pytest.FixtureRequest):
    with lying_postgres(LIES[request.param]) as server:
        yield server


def misled(url: str, server: LyingPostgres) -> str:
    """The lab's own address of its database, but with the stranger's port."""
    parts = urlsplit(url.replace("+psycopg2", ""))
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{server.port}").geturl()


def told_nothing(server: LyingPostgres, *command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0, done.stdout
    assert server.ended.wait(10)
    assert server.heard == []
    return done.stderr


def test_the_query_engine_sends_no_password(lab: Lab, gateway_env: GatewayEnv, liar: LyingPostgres) -> None:
    node = gateway_env.node_bin / "node"
    module = gateway_env.engine_dir / "database.mjs"
    words = told_nothing(liar, node, "--input-type=module", "-e", QUERY_ENGINE, module, misled(lab.database_url, liar))
    assert "it may not be the lab's" in words or "server signature does not match" in words
    assert lab.secrets["POSTGRES_PASSWORD"] not in words


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.startswith("asks for")])
def test_the_query_engine_never_sends_one_in_clear(gateway_env: GatewayEnv, lie: str) -> None:
    with lying_postgres(LIES[lie]) as liar:
        url = f"postgresql://anybody:{quote('s3cret')}@127.0.0.1:{liar.port}/any"
        module = gateway_env.engine_dir / "database.mjs"
        told_nothing(liar, gateway_env.node_bin / "node", "--input-type=module", "-e", QUERY_ENGINE, module, url)


def test_roll_up_and_migrations_send_no_password(lab: Lab, gateway_env: GatewayEnv, liar: LyingPostgres) -> None:
    roll_up = read_env(lab.home / "config/usage.env")["DATABASE_URL"]
    for url in (roll_up, lab.database_url):
        told_nothing(liar, gateway_env.python, "-c", PSYCOPG, misled(url, liar))


def test_notebooks_send_no_password(lab: Lab, liar: LyingPostgres) -> None:
    told_nothing(liar, sys.executable, "-c", PSYCOPG2, misled(lab.reader_url, liar))
    with pytest.raises(usage.LogUnreachable):
        usage.connect(misled(lab.reader_url, liar))
    assert liar.heard == []
