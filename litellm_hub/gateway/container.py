"""Start the gateway's container: `python -m litellm_hub.gateway.container --config FILE --host ADDRESS --port PORT`.

It waits for the database, brings it to the schema and becomes the proxy. Every start does all of it, because after a
reboot the engine starts containers in any order.
"""

import subprocess
import sys
from pathlib import Path

from litellm_hub.gateway import start

HERE = Path(__file__).resolve().parent


def migrate() -> None:
    """Bring the database to the gateway's and the lab's schema; ends the process when that fails."""
    command = [sys.executable, HERE / "engine/migrate.py", "--retry", "--lab-migrations", HERE / "migrations"]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        sys.exit(code)


def main() -> None:
    """Prepare, then run the proxy."""
    start.wait_for_database()
    migrate()
    start.main()


if __name__ == "__main__":
    main()
