"""Patch of LiteLLM 2: no comparison of the database's schema at the start of the gateway.

LiteLLM runs a command that has the database's password among its arguments, where every user of the machine can read
it; no hook comes before it. The lab's migrations make the comparison needless. `LAB_UNPATCHED=schema_check` leaves
LiteLLM as it is.
"""

import os
from typing import Any


def install(check_migration: Any) -> bool:
    """Skip the comparison; return whether that was done.

    Args:
        check_migration: LiteLLM's module `litellm.proxy.db.check_migration`.
    """
    if "schema_check" in os.environ.get("LAB_UNPATCHED", "").split(","):
        return False
    check_migration.check_prisma_schema_diff = lambda db_url=None: None
    return True
