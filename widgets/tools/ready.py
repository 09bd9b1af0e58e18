"""Tools that every chat panel has at hand, to be switched on in its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LONGEST_FILE = 200_000  # bytes
MOST_ROWS = 200


def query_usage_log(sql: str) -> Any:
    """Ask the lab's usage log, a PostgreSQL database, by one SELECT. It returns at most 200 rows.

    The view is lab.usage_log, a row for each request: started_at, completed_at (timestamptz), model, status ('success'
    or 'failure'), error_class, user_id, team_alias, key_alias, prompt_tokens, completion_tokens, total_tokens, spend.

    Args:
        sql: The statement.
    """
    from litellm_hub import usage

    engine = usage.connect()
    try:
        return usage.select(engine, sql, limit=MOST_ROWS)
    finally:
        engine.dispose()


def describe_variable(name: str) -> str:
    """Tell columns, statistics and a sample of rows of a data frame, or the value of another variable of the notebook.

    Args:
        name: The variable's name.
    """
    from widgets.panels.notebook import attach_variables

    [found] = attach_variables([name], None)
    return found.text


def read_file(path: str) -> str:
    """Read a text file of the notebook's folder.

    Args:
        path: Path of the file, below the folder of the notebook.
    """
    folder = Path.cwd().resolve()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder) or any(part.startswith(".") for part in file.relative_to(folder).parts):
        raise ValueError(
            f"{path!r} is not below the notebook's folder, or hidden: only files of the folder can be read."
        )
    if not file.is_file():
        there = ", ".join(sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))[:50])
        raise ValueError(f"There is no file {path!r}. The folder has: {there}.")
    if file.stat().st_size > LONGEST_FILE:
        raise ValueError(f"{path!r} has {file.stat().st_size:,} bytes; at most {LONGEST_FILE:,} can be read.")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path!r} is no text.") from None


READY = (query_usage_log, describe_variable, read_file)
