"""A stranger on the database's port learns no password, from none of the lab's three drivers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from litellm_hub import usage
from tests.conftest import GatewayEnv
from tests.support.lab import Lab, read_env
from tests.support.strangers import LIES, LyingPostgres, lying_postgres

pytestmark = pytest.mark.lab

# Each tries all addresses and prints a line for each.
QUERY_ENGINE = """
const [module, ...urls] = process.argv.slice(1);
const { openPool, readConnection } = await import(module);
const failure = async (url) => {
  const pool = openPool(readConnection(url).pool, () => {});
  const words = await pool.query('SELECT 1').then(() => 'none', (error) => error.message);
  await pool.end();
  return words;
};
(await Promise.all(urls.map(failure))).forEach((words) => console.log(words)); // each is waited for, as for a restart
"""
PSYCOPG = """
import sys
import {0} as driver
for url in sys.argv[1:]:
    try:
        driver.connect(url, connect_timeout=5)
        print("none")
    except driver.OperationalError as error:
        print(str(error).strip().splitlines()[-1])
"""


@pytest.fixture
def liars() -> Iterator[dict[str, LyingPostgres]]:
    """A server for each lie."""
    with ExitStack() as stack:
        yield {lie: stack.enter_context(lying_postgres(answer)) for lie, answer in LIES.items()}


def misled(url: str, server: LyingPostgres) -> str:
    """The lab's own address of its database, but with the stranger's port."""
    parts = urlsplit(url.replace("+psycopg2", ""))
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{server.port}").geturl()


def failures(liars: dict[str, LyingPostgres], urls: list[str], *command: object) -> list[str]:
    """Why each address failed with a program, which must have told no server anything."""
    done = subprocess.run(
        [*map(str, command), *urls], capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    assert {lie: server.heard for lie, server in liars.items()} == {lie: [] for lie in liars}
    assert all(server.ended.wait(10) for server in liars.values())
    assert str(urlsplit(urls[0]).password) not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(urls), done.stdout + done.stderr
    assert "none" not in lines, done.stdout
    return lines


def test_the_query_engine_sends_no_password(lab: Lab, gateway_env: GatewayEnv, liars: dict[str, LyingPostgres]) -> None:
    asked = [misled(lab.database_url, server) for server in liars.values()]
    # In clear not even where the address does not require more.
    unasked = [misled(lab.database_url, liars[lie]).partition("?")[0] for lie in liars if lie.startswith("asks for")]
    node = [gateway_env.node_bin / "node", "--input-type=module", "-e", QUERY_ENGINE]
    words = failures(liars, asked + unasked, *node, gateway_env.engine_dir / "database.mjs")
    assert "server signature does not match" in words.pop(list(liars).index("gives a wrong proof"))
    assert len(unasked) == 2
    assert all("it may not be the lab's" in reason for reason in words), words


def test_gateway_and_roll_up_send_no_password(
    lab: Lab, gateway_env: GatewayEnv, liars: dict[str, LyingPostgres]
) -> None:
    addresses = (lab.database_url, read_env(lab.home / "config/usage.env")["DATABASE_URL"])
    urls = [misled(url, server) for url in addresses for server in liars.values()]
    failures(liars, urls, gateway_env.python, "-c", PSYCOPG.format("psycopg"))


def test_notebooks_send_no_password(lab: Lab, liars: dict[str, LyingPostgres]) -> None:
    urls = [misled(lab.reader_url, server) for server in liars.values()]
    failures(liars, urls, sys.executable, "-c", PSYCOPG.format("psycopg2"))
    server = liars["asks for the password in clear"]
    with pytest.raises(usage.LogUnreachable, match="Something else than the hub's database answers"):
        usage.connect(misled(lab.reader_url, server))
    assert server.heard == []
