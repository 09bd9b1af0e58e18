"""Start LiteLLM's proxy: `python -m litellm_hub.gateway.start --config FILE --host ADDRESS --port PORT`.

Puts the lab's door around LiteLLM's app, then hands over to LiteLLM's own command line.
"""

import logging
import os
import sys
import time

_ORIGINS = "LITELLM_CORS_ORIGINS"
# A list of no origins: LiteLLM takes an unset or empty variable for everybody.
_NOBODY = ","
if not os.environ.get(_ORIGINS, "").strip():
    os.environ[_ORIGINS] = _NOBODY
# Pages of the origins that are named send keys, never the Admin UI's cookie.
os.environ.setdefault("LITELLM_CORS_ALLOW_CREDENTIALS", "false")

import psycopg  # noqa: E402
from litellm.proxy import proxy_cli  # noqa: E402 - LiteLLM reads the variables above when it is imported
from litellm.proxy._types import LiteLLMRoutes  # noqa: E402
from litellm.proxy.db import check_migration  # noqa: E402
from litellm.proxy.proxy_server import app, origins  # noqa: E402

from litellm_hub.gateway import patch_schema_check, wrong_keys  # noqa: E402
from litellm_hub.gateway.entry import Entry  # noqa: E402

# Other names of the five calls' paths, and LiteLLM's ways to other servers that its own list lacks.
ALIASES = ("/engines", "/queue", "/claude_code_gateway", "/plugin-proxy", "/v1beta", "/interactions")
CONNECT_TIMEOUT_S = 5
CONNECT_INTERVAL_S = 0.5


def wait_for_database() -> None:
    """Wait until the database takes the gateway, however long; each new reason why not is printed once.

    After a reboot both start at once, and a gateway that ended instead would be started again at ever longer intervals.
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


def main() -> None:
    """Run the proxy with LiteLLM's own command line."""
    wait_for_database()
    patch_schema_check.install(check_migration)
    closed = (*LiteLLMRoutes.mapped_pass_through_routes.value, *ALIASES)
    app.add_middleware(Entry, closed=closed, origins=origins)
    for name in ("LiteLLM Proxy", "LiteLLM Proxy.stdout"):
        logging.getLogger(name).addFilter(wrong_keys.without_each)
    proxy_cli.run_server()


if __name__ == "__main__":
    main()
