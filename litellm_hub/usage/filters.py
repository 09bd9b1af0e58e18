"""Which part of the usage log counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import ColumnElement, not_

from litellm_hub.usage.log import LOG

Status = Literal["success", "failure"]


@dataclass(frozen=True, kw_only=True)
class UsageFilter:
    """The requests that count: those that meet all conditions given. Without any, all but the lab's self-tests.

    Attributes:
        since: Started at this instant or later; must carry a time zone.
        until: Started before this instant; must carry a time zone.
        model: Model name as callers write it.
        status: "success" or "failure".
        user: Owner of the key.
        key_alias: Name of the key.
        include_smoke: Whether requests of the lab's self-test count as well.

    Raises:
        ValueError: An instant without a time zone, a time span that ends before it begins, or an unknown status.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    status: Status | None = None
    user: str | None = None
    key_alias: str | None = None
    include_smoke: bool = False

    def __post_init__(self) -> None:
        for name, instant in (("since", self.since), ("until", self.until)):
            if instant is not None and instant.utcoffset() is None:
                raise ValueError(f"{name} has no time zone: write for instance datetime(2026, 5, 1, tzinfo=UTC)")
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until ({self.until}) lies before since ({self.since})")
        if self.status not in (None, "success", "failure"):
            raise ValueError(f"status is {self.status!r}: only 'success' and 'failure' exist")

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as conditions on the columns of the usage log.

        Returns:
            Conditions that all must hold; an empty list when every row counts.
        """
        conditions: list[ColumnElement[bool]] = []
        if self.since is not None:
            conditions.append(LOG.c.started_at_utc >= _utc(self.since))
        if self.until is not None:
            conditions.append(LOG.c.started_at_utc < _utc(self.until))
        equal = {"model": self.model, "status": self.status, "user_id": self.user, "key_alias": self.key_alias}
        conditions += [LOG.c[column] == value for column, value in equal.items() if value is not None]
        if not self.include_smoke:
            conditions.append(not_(LOG.c.is_smoke))
        return conditions


EVERYTHING = UsageFilter()
"""All requests but the lab's self-tests."""


def _utc(instant: datetime) -> datetime:
    """Return `instant` as the log's index has it: UTC without a zone."""
    return instant.astimezone(UTC).replace(tzinfo=None)
