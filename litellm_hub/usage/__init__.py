"""The hub's usage log as small pandas frames: who asked which model how much, how fast, at what price, and what failed.

`connect` opens the log, a `UsageFilter` names the part of it that counts, and each of the other functions runs one
statement that PostgreSQL aggregates, so that a result is small however long the log is. All SQL about usage lives here.
"""

from litellm_hub.usage.connection import connect
from litellm_hub.usage.errors import (
    LogLoginRefused,
    LogNotConfigured,
    LogNotReady,
    LogUnreachable,
    QueryTooSlow,
    UsageError,
)
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.queries import (
    Dimension,
    errors,
    latency,
    recent,
    requests_by_hour,
    requests_by_model,
    spend,
    tokens,
)

__all__ = [
    "EVERYTHING",
    "Dimension",
    "LogLoginRefused",
    "LogNotConfigured",
    "LogNotReady",
    "LogUnreachable",
    "QueryTooSlow",
    "UsageError",
    "UsageFilter",
    "connect",
    "errors",
    "latency",
    "recent",
    "requests_by_hour",
    "requests_by_model",
    "spend",
    "tokens",
]
