"""From a statement to a frame whose columns and dtypes follow from the statement alone, not from the rows it finds."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from sqlalchemy import Boolean, Connection, DateTime, Engine, Float, Integer, Select, Text
from sqlalchemy.types import TypeEngine

from litellm_hub.usage.connection import reading


def read(engine: Engine, statement: Select[Any], zone: str = "UTC") -> pd.DataFrame:
    """Run a statement and give its rows as a frame.

    Args:
        engine: What `connect` returned.
        statement: What to select; every column has a name and a type.
        zone: Time zone of the frame's instants.

    Returns:
        One column per selected column: text as str, whole numbers as int64, others as float64, truth values as bool,
        instants as datetime64[us, zone], arrays as object.

    Raises:
        UsageError: The log cannot be read.
    """
    with reading(engine) as connection:
        return frame_of(connection, statement, zone)


def frame_of(connection: Connection, statement: Select[Any], zone: str = "UTC") -> pd.DataFrame:
    """As `read`, on a connection that is lent already."""
    dtypes = {str(column.key): _dtype(column.type, zone) for column in statement.selected_columns}
    rows = [tuple(row) for row in connection.execute(statement)]
    return pd.DataFrame(rows, columns=list(dtypes), dtype="object").astype(dtypes)


def valid_zone(name: str) -> str:
    """Check the name of a time zone.

    Args:
        name: IANA name.

    Returns:
        The same name.

    Raises:
        ValueError: There is no such zone on this machine.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"tz is {name!r}: give an IANA name such as 'UTC' or 'Europe/Berlin'") from error
    return name


def _dtype(kind: TypeEngine[Any], zone: str) -> str:
    if isinstance(kind, Text):
        return "str"
    if isinstance(kind, Integer):
        return "int64"
    if isinstance(kind, Float):
        return "float64"
    if isinstance(kind, Boolean):
        return "bool"
    if isinstance(kind, DateTime):
        return f"datetime64[us, {zone}]"
    return "object"
