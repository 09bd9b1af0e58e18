"""Which part of the usage log counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, not_, or_

from litellm_hub.usage.log import LOG

Status = Literal["success", "failure"]
Names = str | Sequence[str] | None


@dataclass(frozen=True, kw_only=True)
class UsageFilter:
    """The requests that count: those that meet all conditions given. Without any, all but the lab's self-tests.

    Each name may also be several: one of them has to fit.

    Attributes:
        since: Started at this instant or later; must carry a time zone.
        until: Started before this instant; must carry a time zone.
        model: Model name as callers write it.
        status: "success" or "failure".
        user: Owner of the key.
        key_alias: Name of the key.
        team: Name or id of the key's team.
        tag: Tag that the caller gave the request.
        include_smoke: Whether requests of the lab's self-test count as well.

    Raises:
        ValueError: An instant without a time zone, a time span that ends before it begins, or an unknown status.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: Names = None
    status: Status | None = None
    user: Names = None
    key_alias: Names = None
    team: Names = None
    tag: Names = None
    include_smoke: bool = False

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            instant = getattr(self, name)
            if instant is not None and instant.utcoffset() is None:
                raise ValueError(f"{name} has no time zone: write for instance datetime(2026, 5, 1, tzinfo=UTC)")
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until ({self.until}) lies before since ({self.since})")
        if self.status not in (None, *get_args(Status)):
            raise ValueError(f"status is {self.status!r}: only 'success' and 'failure' exist")
        for name in ("model", "user", "key_alias", "team", "tag"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))

    @property
    def since_utc(self) -> datetime | None:
        """`since` as the log's index has it: UTC without a zone."""
        return _utc(self.since)

    @property
    def until_utc(self) -> datetime | None:
        """`until` as the log's index has it: UTC without a zone."""
        return _utc(self.until)

    @property
    def names(self) -> set[str]:
        """The attributes, other than time and self-tests, that have a condition."""
        return {
            name for name in ("model", "status", "user", "key_alias", "team", "tag") if getattr(self, name) is not None
        }

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as conditions on the columns of the usage log.

        Returns:
            Conditions that all must hold; an empty list when every row counts.
        """
        conditions: list[ColumnElement[bool]] = []
        if self.since_utc is not None:
            conditions.append(LOG.c.started_at_utc >= self.since_utc)
        if self.until_utc is not None:
            conditions.append(LOG.c.started_at_utc < self.until_utc)
        columns = {"model": LOG.c.model, "status": LOG.c.status, "user": LOG.c.user_id, "key_alias": LOG.c.key_alias}
        conditions += self.conditions_on({**columns, "is_smoke": LOG.c.is_smoke})
        if self.team is not None:
            conditions.append(or_(_fits(LOG.c.team_alias, self.team), _fits(LOG.c.team_id, self.team)))
        if self.tag is not None:
            conditions.append(LOG.c.tags.overlap([self.tag] if isinstance(self.tag, str) else list(self.tag)))
        return conditions

    def conditions_on(self, columns: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
        """Return the conditions other than those of time, on other columns than the log's.

        Args:
            columns: What to compare with, by this class's names and `is_smoke`; a condition without its column here
                is left to the caller.

        Returns:
            Conditions that all must hold.
        """
        conditions = [
            _fits(column, getattr(self, name))
            for name, column in columns.items()
            if name != "is_smoke" and getattr(self, name) is not None
        ]
        return conditions if self.include_smoke else [*conditions, not_(columns["is_smoke"])]


EVERYTHING = UsageFilter()
"""All requests but the lab's self-tests."""


def _fits(column: ColumnElement[Any], names: str | Sequence[str]) -> ColumnElement[bool]:
    return column == names if isinstance(names, str) else column.in_(list(names))


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC).replace(tzinfo=None)
