"""Start LiteLLM's proxy: `python -m litellm_hub.proxy.start --config FILE --host ADDRESS --port PORT`.

LiteLLM compares the database with its schema at every start by a command that has the database's password among its
arguments, where every user of the machine can read it. The lab's migrations make that comparison needless.
"""

from litellm.proxy import proxy_cli
from litellm.proxy.db import check_migration


def main() -> None:
    """Run the proxy with LiteLLM's own command line."""
    check_migration.check_prisma_schema_diff = lambda db_url=None: None
    proxy_cli.run_server()


if __name__ == "__main__":
    main()
