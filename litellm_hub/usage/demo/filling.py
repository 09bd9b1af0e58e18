"""The hub's database on a server of one's own, with a made-up log in it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg2

from litellm_hub.gateway.rollup import refresh
from litellm_hub.usage.demo import generator
from litellm_hub.usage.demo.postgres import Server

DATABASE = "litellm"
OWNER, READER = "litellm", "lab_reader"
DAYS = 120
"""A forecast of four weeks needs twelve of them."""
_HUB = Path(__file__).parents[2]
_TABLES = Path(__file__).with_name("litellm_tables.sql")
# The server has no passwords: whoever gets to its socket may be anybody.
_LOGINS = ("POSTGRES_PASSWORD", *(f"POSTGRES_{role}_PASSWORD" for role in ("READER", "REFRESHER", "REGISTRAR")))
_ROLES = dict.fromkeys(_LOGINS, "unused") | {
    "POSTGRES_READER_CONNECTIONS": "-1",
    "POSTGRES_READER_TEMP_FILES": "1GB",
    "POSTGRES_READER_TIMEOUT": "30s",
}
# Most have budgets that last; of a few, too much is spent already.
_BUDGETS = """
UPDATE "{table}" AS owner SET spend = spent.spend, budget_duration = '30d',
    budget_reset_at = date_trunc('day', now() AT TIME ZONE 'UTC') + interval '12 days',
    max_budget = greatest(0.1, round((spent.spend * (0.9 + spent.place % 7 * 0.25))::numeric, 1))
FROM (
    SELECT {column} AS id, sum(spend) AS spend, row_number() OVER (ORDER BY sum(spend) DESC) AS place
    FROM "LiteLLM_SpendLogs" WHERE "startTime" > now() AT TIME ZONE 'UTC' - interval '18 days' GROUP BY {column}
) AS spent WHERE spent.id = owner.{identity} AND spent.place <= {most}
"""


def create_database(server: Server) -> None:
    """Make the hub's database as the lab makes it, with nothing in its log.

    Args:
        server: A running one without the database.

    Raises:
        RuntimeError: An error of the database's; says which.
    """
    roles = f"--file={_HUB / 'deploy/database/roles.sql'}"
    server.psql(server.url, f"--set=database={DATABASE}", roles, environment=_ROLES)
    files = [_TABLES, *sorted((_HUB / "gateway/migrations").glob("*.sql"))]
    server.psql(server.url_of(DATABASE, OWNER), "--single-transaction", *(f"--file={file}" for file in files))


def fill(server: Server, *, seed: int, requests: int, days: int = DAYS) -> None:
    """Write a log that ends now, with budgets, and add it up.

    Args:
        server: Where `create_database` has been.
        seed: The same seed gives the same requests, as long before now.
        requests: How many.
        days: Length of the log.
    """
    lab = generator.Lab(seed=seed, end=np.datetime64("now", "m"), days=days)
    with closing(psycopg2.connect(server.url_of(DATABASE, OWNER))) as connection:
        generator.load(connection, lab, requests)
        with connection.cursor() as cursor:
            for table, column, identity, most in (
                ("LiteLLM_VerificationToken", "api_key", "token", 8),
                ("LiteLLM_TeamTable", "team_id", "team_id", 3),
            ):
                cursor.execute(_BUDGETS.format(table=table, column=column, identity=identity, most=most))
            # In one step, which takes less time than day by day as the service has it.
            cursor.execute("SELECT lab_usage.refresh(NULL, %s)", (f"{days + 1} days",))
        connection.commit()
        refresh(connection)


def keep_fresh(server: Server) -> None:
    """Tell the roll-up that nothing came: one that was not refreshed for long counts as stale."""
    with closing(psycopg2.connect(server.url_of(DATABASE, OWNER))) as connection:
        refresh(connection)
