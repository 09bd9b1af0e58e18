"""Series without gaps: an hour or a day without requests is a zero, not a missing row."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import pandas as pd

Grain = Literal["hour", "day"]
HOURS_OF_WEEK = 168
_STEP = {"hour": "h", "day": "D"}


def complete(
    frame: pd.DataFrame, columns: tuple[str, ...] = ("requests",), *, grain: Grain, until: datetime | None = None
) -> pd.DataFrame:
    """Add up a frame's rows per hour or day, and fill the gaps with zeros.

    Args:
        frame: A frame of `litellm_hub.usage` with the column `time` (with a zone) and `columns`; several rows of one
            time, one per model for instance, are added up.
        columns: The columns to add up.
        grain: Length of a step, on the clock of the frame's zone.
        until: When the log was read: the step that was not over by then is left out.

    Returns:
        `columns` (float64) by time, from the first row's step to the last row's, in steps without a gap.
    """
    sums = frame.loc[:, ["time", *columns]].groupby("time").sum().astype("float64")
    if sums.empty:
        return sums
    step = _STEP[grain]
    filled: pd.DataFrame = sums.resample(step).sum()
    if until is not None:
        starts = pd.DatetimeIndex(filled.index)
        ends = starts + pd.DateOffset(days=1) if grain == "day" else starts + pd.Timedelta(hours=1)
        filled = filled.loc[ends <= pd.Timestamp(until)]
    return filled


def hour_of_week(index: pd.DatetimeIndex) -> pd.Index:
    """Return the hour of the week on the clock of the index' zone, 0 to 167, Monday's first hour 0."""
    return pd.Index(index.day_of_week * 24 + index.hour)
