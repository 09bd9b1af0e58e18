"""A database that records statements and answers with rows of the test's choice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql


class RecordingEngine:
    """Stands in for an engine: what `litellm_hub.usage` asks is kept, what it gets is `rows`."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.statements: list[Any] = []

    @contextmanager
    def connect(self) -> Iterator[RecordingEngine]:
        yield self

    def execute(self, statement: Any) -> list[tuple[Any, ...]]:
        self.statements.append(statement)
        return self.rows

    @property
    def sql(self) -> str:
        """The one statement, as PostgreSQL gets it, on one line and with its values in place."""
        (statement,) = self.statements
        compiled = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
        return " ".join(str(compiled).split())


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine()
