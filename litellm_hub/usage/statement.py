"""The usage log by a statement of one's own."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, InternalError, ProgrammingError

from litellm_hub.usage.connection import reading


def select(engine: Engine, statement: str, *, limit: int = 10_000) -> pd.DataFrame:
    """Run a SELECT on the log; the login may read `lab.usage_log` and what is beside it, and nothing else.

    Args:
        engine: What `connect` returned.
        statement: SQL of PostgreSQL. Nothing in it stands for a parameter.
        limit: The most rows.

    Returns:
        The first rows, with the statement's names as columns.

    Raises:
        ValueError: The database does not take the statement; says why in its words. Or it returns no rows at all.
    """
    with reading(engine) as connection:
        try:
            result = connection.execution_options(no_parameters=True).exec_driver_sql(statement)
        except (DataError, InternalError, ProgrammingError) as error:
            raise ValueError(f"The log does not take this statement: {str(error.orig).strip()}") from error
        if not result.returns_rows:
            raise ValueError("The statement returns no rows: give a SELECT.")
        return pd.DataFrame(result.fetchmany(limit), columns=list(result.keys()))
