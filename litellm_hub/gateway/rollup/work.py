"""One refresh and one comparison, on any DB-API connection of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_PERIOD = re.compile(r"(\d+)(mo|[smhdw]?)")


def interval(period: str | None) -> str | None:
    """Translate a period as LiteLLM writes it into PostgreSQL's words.

    Args:
        period: Number and unit: s, m (minutes), h, d, w or mo; seconds without unit. None or "" for no limit.

    Returns:
        The interval, or None.

    Raises:
        ValueError: It is not such a period.
    """
    if not period:
        return None
    match = _PERIOD.fullmatch(period.strip())
    if match is None:
        raise ValueError(f"{period!r} is not a period of time: write for instance 400d")
    units = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "mo": "months"}
    return f"{match[1]} {units[match[2]]}"


def refresh(connection: Any, *, retention: str | None = None, go_on: Callable[[], bool] = lambda: True) -> int:
    """Bring the roll-up up to date; the first time, add up all of the log.

    Each step is a transaction of its own, so that an interrupted run leaves what it had finished.

    Args:
        connection: To the hub's database, in no transaction, as a role that may refresh.
        retention: Age at which the gateway removes rows from the log, as LiteLLM writes it (such as "400d"); what is
            older is left as it is. None for what was said last.
        go_on: Asked between the steps of the first time; False ends the run.

    Returns:
        Rows of the log that were read.
    """
    rows = int(_value(connection, "SELECT lab_usage.refresh(%s)", interval(retention)))
    while go_on():
        more = _value(connection, "SELECT lab_usage.extend()")
        if more is None:
            break
        rows += more
    return rows


def check(connection: Any, *, go_on: Callable[[], bool] = lambda: True) -> int:
    """Compare the roll-up with all of the log that is kept, and repair it.

    Args:
        connection: As for `refresh`.
        go_on: Asked before each day; False ends the run, which then does not count as a comparison.

    Returns:
        Quarter hours that differed.
    """
    repaired = 0
    for (day,) in _rows(connection, "SELECT lab_usage.days_to_check()"):
        if not go_on():
            return repaired
        repaired += int(_value(connection, "SELECT lab_usage.check_day(%s)", day))
    _value(connection, "SELECT lab_usage.note_check(%s)", repaired)
    return repaired


def _value(connection: Any, statement: str, *parameters: Any) -> Any:
    return _rows(connection, statement, *parameters)[0][0]


def _rows(connection: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement in a transaction of its own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return rows
