"""From single runs to the table, the thresholds and the last line."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from statistics import median

from benchmarks.chat.measure import Run
from benchmarks.chat.stub import WORKS

PANEL = "chat panel"
FORMATS = {"unpaced_s": ".3f", "first_text_ms": ".0f", "paced_lag_ms": ".0f", "long_tasks": ".0f"}
AT_MOST = {
    "unpaced_kb": 16.0,
    "unpaced_s": 0.3,
    "first_text_ms": 50.0,
    "paced_kb": 150.0,
    "paced_lag_ms": 30.0,
    "long_tasks": 0.0,
    "cost_growth": 1.2,
    "history_cost": 1.2,
    "history_open_s": 1.0,
}
MORE_THAN = {"kernel_cpu_ratio": 1.0, "renderer_cpu_ratio": 1.0}
ORDER = (
    "unpaced_kb",
    "unpaced_s",
    "first_text_ms",
    "paced_kb",
    "paced_lag_ms",
    "kernel_cpu_ratio",
    "renderer_cpu_ratio",
    "long_tasks",
    "cost_growth",
    "history_cost",
    "history_open_s",
)
HEAD = (
    "",
    "answer",
    "n",
    "KB",
    "first ms",
    "wall s",
    "lag ms",
    "kernel s",
    "relay s",
    "browser s",
    "long tasks",
    "load",
)


@dataclass
class Results:
    """All runs, by chat and work.

    Attributes:
        runs: (chat, work) to its runs; works after a history are named `shortwork after N`.
        open_s: Seconds until the last of 500 messages was shown.
    """

    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)
    open_s: list[float] = field(default_factory=list)

    def add(self, chat: str, work: str, run: Run) -> None:
        self.runs.setdefault((chat, work), []).append(run)

    def typical(self, chat: str, work: str) -> Run:
        """The median of each figure."""
        runs = self.runs[chat, work]
        return Run(*(median(getattr(run, part.name) for run in runs) for part in fields(Run)))

    def cost(self, work: str) -> float:
        """Median of the panel's CPU seconds altogether."""
        return median(run.cpu_s for run in self.runs[PANEL, work])


def figures(results: Results) -> dict[str, float]:
    """What the thresholds are about. The ratios are missing where no peer was measured."""
    fast, paced = results.typical(PANEL, "fast"), results.typical(PANEL, "paced")
    per_token = {work: results.cost(work) / WORKS[work][0] for work in ("shortwork", "longwork")}
    found = {
        "unpaced_kb": fast.kb,
        "unpaced_s": fast.wall_s,
        "first_text_ms": max(fast.first_ms, paced.first_ms),
        "paced_kb": paced.kb,
        "paced_lag_ms": paced.lag_ms,
        "long_tasks": max(fast.long_tasks, paced.long_tasks),
        "cost_growth": per_token["longwork"] / per_token["shortwork"],
        "history_cost": results.cost("shortwork after 500") / results.cost("shortwork after 5"),
        "history_open_s": median(results.open_s),
    }
    peers = [results.typical(chat, work) for chat, work in results.runs if work == "paced" and chat != PANEL]
    if peers:
        found["kernel_cpu_ratio"] = min(peer.kernel_s + peer.relay_s for peer in peers) / (
            paced.kernel_s + paced.relay_s
        )
        found["renderer_cpu_ratio"] = min(peer.renderer_s for peer in peers) / paced.renderer_s
    return found


def missed(found: dict[str, float]) -> list[str]:
    """Say of each threshold that is not met what it asks for."""
    high = [f"{name}={shown(name, found)}, at most {limit:g}" for name, limit in AT_MOST.items() if found[name] > limit]
    low = [
        f"{name}={shown(name, found)}, more than {limit:g}"
        for name, limit in MORE_THAN.items()
        if name in found and found[name] <= limit
    ]
    return high + low


def shown(name: str, found: dict[str, float]) -> str:
    """A figure as the last line has it."""
    return format(found[name], FORMATS.get(name, ".2f")) if name in found else "-"


def last_line(found: dict[str, float]) -> str:
    """The figures in one line."""
    return "bench-chat: " + " ".join(f"{name}={shown(name, found)}" for name in ORDER)


def table(results: Results) -> str:
    """Medians of every chat and work."""
    rows: list[tuple[str, ...]] = [HEAD]
    for (chat, work), runs in sorted(results.runs.items(), key=lambda item: (item[0][1], item[0][0])):
        run = results.typical(chat, work)
        loads = [each.load for each in runs]
        rows.append(
            (
                chat,
                work,
                str(len(runs)),
                f"{run.kb:,.1f}",
                f"{run.first_ms:,.0f}",
                f"{run.wall_s:,.2f}",
                f"{run.lag_ms:,.0f}",
                f"{run.kernel_s:.2f}",
                f"{run.relay_s:.2f}",
                f"{run.renderer_s:.2f}",
                f"{run.long_tasks:.0f}",
                f"{min(loads):.1f}-{max(loads):.1f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            value.ljust(width) if column < 2 else value.rjust(width)
            for column, (value, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
