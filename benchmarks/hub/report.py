"""From single rounds to the table, the limits and the last line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from statistics import median

DIRECT, LITELLM, OURS = "straight", "LiteLLM", "ours"
AT_MOST = {"cpu_vs_litellm": 1.0, "stream_cpu_vs_litellm": 1.0}
FORMATS = {"cpu_vs_litellm": ".2f", "stream_cpu_vs_litellm": ".2f", "streams_without_stall": ".0f", "memory_mb": ".0f"}


@dataclass
class Round:
    """One round of one target. What a target cannot have is not a number.

    Attributes:
        plain_cpu_ms: CPU of the gateway and its query engine for each plain request, until all is written.
        stream_cpu_ms: The same for each streamed request.
        plain_ms: Median of the time that a plain answer took.
        ttft_p50_ms: Median of the time to the first piece of a stream.
        ttft_p99_ms: 99th percentile of it.
        piece_p50_ms: Median of the time that a piece was under way from the double to the client.
        piece_p99_ms: 99th percentile of it.
        streams: The most streams at a time of which none stalled.
        memory_mb: Of the gateway and its query engine.
    """

    plain_cpu_ms: float = math.nan
    stream_cpu_ms: float = math.nan
    plain_ms: float = math.nan
    ttft_p50_ms: float = math.nan
    ttft_p99_ms: float = math.nan
    piece_p50_ms: float = math.nan
    piece_p99_ms: float = math.nan
    streams: float = math.nan
    memory_mb: float = math.nan


HEADS = {
    "plain_cpu_ms": "CPU ms of a plain request",
    "stream_cpu_ms": "CPU ms of a streamed request",
    "plain_ms": "plain answer, ms, p50",
    "ttft_p50_ms": "first piece, ms, p50",
    "ttft_p99_ms": "first piece, ms, p99",
    "piece_p50_ms": "a piece under way, ms, p50",
    "piece_p99_ms": "a piece under way, ms, p99",
    "streams": "streams without a stall",
    "memory_mb": "memory, MB",
}


@dataclass
class Results:
    """All rounds, by target."""

    rounds: dict[str, list[Round]] = field(default_factory=dict)

    def add(self, target: str, round_: Round) -> None:
        """Note a round."""
        self.rounds.setdefault(target, []).append(round_)

    def typical(self, target: str) -> Round:
        """The median of each figure."""
        rounds = self.rounds[target]
        return Round(*(median(getattr(each, part.name) for each in rounds) for part in fields(Round)))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def figures(results: Results) -> dict[str, float]:
    """What the last line has."""
    direct, alone, own = (results.typical(target) for target in (DIRECT, LITELLM, OURS))
    return {
        "cpu_vs_litellm": own.plain_cpu_ms / alone.plain_cpu_ms,
        "stream_cpu_vs_litellm": own.stream_cpu_ms / alone.stream_cpu_ms,
        "added_ttft_p50_ms": own.ttft_p50_ms - direct.ttft_p50_ms,
        "added_ttft_p99_ms": own.ttft_p99_ms - direct.ttft_p99_ms,
        "added_per_piece_p99_ms": own.piece_p99_ms - direct.piece_p99_ms,
        "streams_without_stall": own.streams,
        "memory_mb": own.memory_mb,
    }


def shown(name: str, value: float) -> str:
    """A figure as the last line has it."""
    return format(value, FORMATS.get(name, ".1f"))


def missed(found: dict[str, float]) -> list[str]:
    """Say of each limit that is not kept what it asks for."""
    return [
        f"{name}={shown(name, found[name])}, at most {limit:g}"
        for name, limit in AT_MOST.items()
        if not found[name] <= limit
    ]


def last_line(found: dict[str, float]) -> str:
    """The figures in one line."""
    return "bench-hub: " + " ".join(f"{name}={shown(name, value)}" for name, value in found.items())


def table(results: Results) -> str:
    """Medians of every target, with the least and the greatest of the rounds where there are several."""
    targets = list(results.rounds)
    lines = [f"{'':30}" + "".join(f"{target:>24}" for target in targets)]
    for name, head in HEADS.items():
        cells = []
        for target in targets:
            values = [getattr(each, name) for each in results.rounds[target]]
            span = f" ({min(values):,.1f}-{max(values):,.1f})" if len(values) > 1 else ""
            cells.append("-" if math.isnan(values[0]) else f"{median(values):,.1f}{span}")
        lines.append(f"{head:30}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)
