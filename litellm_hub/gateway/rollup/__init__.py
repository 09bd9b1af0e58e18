"""Keeps the usage roll-up up to date: the service of the lab that does so, and the same on demand.

The work itself is done by functions of the database (`migrations/0003_usage_rollup.sql`); this calls them in order. It
needs nothing but a connection of psycopg 2 or 3, because it runs in the gateway's environment, too.
"""

from litellm_hub.gateway.rollup.work import check, refresh

__all__ = ["check", "refresh"]
