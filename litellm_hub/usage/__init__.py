"""The hub's usage log as small pandas frames: who asked which model how much, how fast, at what price, and what failed.

`connect` opens the log, a `UsageFilter` names the part of it that counts, and each of the other functions asks one
question. Answers come from a roll-up in the hub's database that a service keeps up to date, so that they cost what the
hours they span cost and not what the requests do; what the roll-up does not know yet comes from the log itself.
`freshness` tells how far the roll-up is. All SQL about usage lives here and in the migrations.
"""

from litellm_hub.usage.connection import connect
from litellm_hub.usage.drilldown import Cursor, Prompt, cursor, prompt, requests, stream_requests
from litellm_hub.usage.errors import (
    LogLoginRefused,
    LogNotConfigured,
    LogNotReady,
    LogUnreachable,
    PromptsNotPermitted,
    QueryTooSlow,
    UsageError,
)
from litellm_hub.usage.filters import EVERYTHING, UsageFilter
from litellm_hub.usage.freshness import Freshness, freshness
from litellm_hub.usage.people import Person, budgets, error_taxonomy, keys, people, sessions
from litellm_hub.usage.spans import Grain
from litellm_hub.usage.speed import (
    SpeedDimension,
    latency,
    overall_tokens_per_second,
    time_to_first_token,
    tokens_per_second,
)
from litellm_hub.usage.statement import select
from litellm_hub.usage.volume import Dimension, cache_hits, concurrency, hour_of_week, totals, volume

__all__ = [
    "EVERYTHING",
    "Cursor",
    "Dimension",
    "Freshness",
    "Grain",
    "LogLoginRefused",
    "LogNotConfigured",
    "LogNotReady",
    "LogUnreachable",
    "Person",
    "Prompt",
    "PromptsNotPermitted",
    "QueryTooSlow",
    "SpeedDimension",
    "UsageError",
    "UsageFilter",
    "budgets",
    "cache_hits",
    "concurrency",
    "connect",
    "cursor",
    "error_taxonomy",
    "freshness",
    "hour_of_week",
    "keys",
    "latency",
    "overall_tokens_per_second",
    "people",
    "prompt",
    "requests",
    "select",
    "sessions",
    "stream_requests",
    "time_to_first_token",
    "tokens_per_second",
    "totals",
    "volume",
]
