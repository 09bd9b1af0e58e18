"""What the gateway's container runs: `python -m litellm_hub.proxy.container --config FILE --host ADDRESS --port PORT`.

It waits for the database, brings it to the schema and becomes the proxy. Every start does all of it, because after a
reboot the engine starts containers in any order.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg  # type: ignore[import-not-found, unused-ignore]  # is in the gateway's environment only

from litellm_hub.proxy import start

CONNECT_TIMEOUT_S = 5
CONNECT_INTERVAL_S = 0.5
HUB = Path(__file__).resolve().parents[1]


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
    command = [sys.executable, HUB / "engine" / "migrate.py", "--retry", "--lab-migrations", HUB / "migrations"]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        sys.exit(code)


def main() -> None:
    """Prepare, then run the proxy."""
    wait_for_database()
    migrate()
    start.main()


if __name__ == "__main__":
    main()
