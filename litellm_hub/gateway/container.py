"""What the gateway's container runs: `python -m litellm_hub.gateway.container --config … --host … --port …`.

It waits for the database, brings it to the schema, offers the host's model runtime on the container's loopback and
becomes the proxy. Every start does all of it, because after a reboot the engine starts containers in any order.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg  # type: ignore[import-not-found, unused-ignore]  # is in the gateway's environment only
import yaml

from litellm_hub.gateway import relay, start

CONNECT_TIMEOUT_S = 5
CONNECT_INTERVAL_S = 0.5
HERE = Path(__file__).resolve().parent


def runtime_ports(config: Path) -> list[int]:
    """Ports of this machine's loopback that the configuration's deployments are at.

    Args:
        config: LiteLLM's configuration.

    Returns:
        Each port once, ascending.
    """
    models = yaml.safe_load(config.read_text()).get("model_list") or []
    addresses = [urlsplit(str(model["litellm_params"].get("api_base", ""))) for model in models]
    return sorted({address.port for address in addresses if address.hostname == "127.0.0.1" and address.port})


def wait_for_database() -> None:
    """Wait until the database takes the gateway, however long; each new reason why not is printed once.

    A gateway that ended instead would be started again by the engine at ever longer intervals.
    """
    said = ""
    while True:
        try:
            psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=CONNECT_TIMEOUT_S).close()
            return
        except psycopg.OperationalError as error:
            if said != (said := str(error)):
                print(f"waiting for the database: {said}", file=sys.stderr, flush=True)
        time.sleep(CONNECT_INTERVAL_S)


def migrate() -> None:
    """Bring the database to the gateway's and the lab's schema; ends the process when that fails."""
    command = [sys.executable, HERE / "engine/migrate.py", "--retry", "--lab-migrations", HERE / "migrations"]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        sys.exit(code)


def main() -> None:
    """Prepare, then run the proxy."""
    wait_for_database()
    migrate()
    config = Path(sys.argv[sys.argv.index("--config") + 1])
    sockets = os.environ["LAB_RUNTIME_SOCKETS"]
    relay.start([(f"127.0.0.1:{port}", f"{sockets}/{port}.sock") for port in runtime_ports(config)])
    start.main()


if __name__ == "__main__":
    main()
