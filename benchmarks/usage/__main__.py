"""`make bench-usage`: build the roll-up of 1 and 10 million requests, ask the eight questions of a dashboard, compare.

Prints a table for both sizes and, as the last line, the figures at the larger one; the exit code is 1 when one of them
misses its threshold. Times are wall-clock seconds; of repeated measurements the median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg2

from benchmarks.environments import ROOT, of_role
from benchmarks.scratch import Hub, hub
from benchmarks.usage import backtests, questions
from litellm_hub.gateway.rollup import refresh
from litellm_hub.usage.demo import generator

SIZES = (1_000_000, 10_000_000)
DAYS = 120
NEW_ROWS = 10_000
LITELLM_DAYS = 30
BUILD = ROOT / "build/bench-usage"
SETTINGS = """
shared_buffers = 512MB
max_wal_size = 8GB
autovacuum = off
timezone = UTC
"""
# What must hold at the larger size: the measure has to be below (<) or at least (>=).
THRESHOLDS: dict[str, tuple[str, float]] = {
    "eight_s": ("<", 0.4),
    "memory_mb": ("<", 200),
    "filtered_s": ("<", 1.0),
    "build_rows_per_s": (">=", 50_000),
    "refresh_s": ("<", 1.0),
    "faster_than_raw": (">=", 100),
    "faster_than_litellm": (">=", 10),
}


@dataclass
class Result:
    """What was measured on one log.

    Attributes:
        rows: Requests in the log.
        answers: Seconds of each answer from the roll-up.
        raw: Seconds of each answer from the log.
        litellm: Seconds of each of LiteLLM's queries.
        shorter: Seconds of the eight answers over fewer days, by number of days.
        filtered: Seconds of the eight answers by what they were filtered to.
        drilled: Seconds of a page of the newest requests by what they were filtered to.
        sizes: Bytes of the log and of the roll-up.
    """

    rows: int
    answers: dict[str, float] = field(default_factory=dict)
    raw: dict[str, float] = field(default_factory=dict)
    litellm: dict[str, float] = field(default_factory=dict)
    shorter: dict[int, float] = field(default_factory=dict)
    filtered: dict[str, float] = field(default_factory=dict)
    drilled: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    first_s: float = 0.0
    memory_mb: float = 0.0
    build_s: float = 0.0
    refresh_s: float = 0.0

    @property
    def figures(self) -> dict[str, float]:
        """The measures that have thresholds."""
        eight = sum(self.answers.values())
        return {
            "eight_s": eight,
            "memory_mb": self.memory_mb,
            "filtered_s": max(self.filtered.values()),
            "build_rows_per_s": self.rows / self.build_s,
            "refresh_s": self.refresh_s,
            "faster_than_raw": sum(self.raw.values()) / eight,
            "faster_than_litellm": sum(self.litellm.values()) / eight,
        }


def measured(hub_: Hub, rows: int) -> Result:
    """Fill a log, add it up, and measure."""
    url = hub_.create(f"usage_{rows}")
    end = np.datetime64("now", "h")
    lab = generator.Lab(seed=1, end=end, days=DAYS)
    result = Result(rows)
    with psycopg2.connect(url) as connection:
        say(f"{rows:,} requests of {DAYS} days: writing the log")
        generator.load(connection, lab, rows)
    vacuum(connection, '"LiteLLM_SpendLogs"')
    say("adding it up")
    result.build_s = timed(lambda: refresh(connection))
    vacuum(connection, "")
    result.sizes = sizes(connection)
    say("asking")
    ask(result, url)
    result.refresh_s = refreshed(connection, lab)
    result.raw = {name: timed(lambda query=query: run(connection, query)) for name, query in questions.RAW.items()}  # type: ignore[misc]
    until = datetime.now(UTC)
    own = questions.litellm(until - timedelta(days=LITELLM_DAYS), until)
    result.litellm = {name: timed(lambda query=query: run(connection, query)) for name, query in own.items()}  # type: ignore[misc]
    connection.close()
    return result


def ask(result: Result, url: str) -> None:
    """Ask in a process of its own, as a notebook would, with the reader's rights."""
    reader = url.replace("postgres@", "lab_reader@")
    command = [sys.executable, "-m", "benchmarks.usage.asking", reader]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    for name, value in json.loads(done.stdout).items():
        setattr(result, name, {int(key): each for key, each in value.items()} if name == "shorter" else value)


def refreshed(connection: Any, lab: generator.Lab) -> float:
    """Write new rows and refresh, three times; the median of the refreshes."""
    seconds = []
    for _ in range(3):
        with connection.cursor() as cursor:
            generator.copy(cursor, lab.recent(NEW_ROWS, np.datetime64("now", "ms"), 60))
        connection.commit()
        seconds.append(timed(lambda: refresh(connection)))
    return statistics.median(seconds)


def sizes(connection: Any) -> dict[str, int]:
    """Bytes on disk, indexes included."""
    log = "SELECT 'log', pg_total_relation_size('\"LiteLLM_SpendLogs\"')"
    own = "SELECT 'roll-up', sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE schemaname = 'lab_usage'"
    return {name: int(size) for name, size in run(connection, f"{log} UNION ALL {own}")}


def run(connection: Any, query: str) -> list[Any]:
    """Run a query in a transaction of its own."""
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[Any] = cursor.fetchall()
    return rows


def vacuum(connection: Any, table: str) -> None:
    """Do what autovacuum would have done."""
    connection.autocommit = True
    connection.cursor().execute(f"VACUUM (ANALYZE) {table}")
    connection.autocommit = False


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def say(words: str) -> None:
    """Tell on standard error what happens."""
    print(f"bench-usage: {words}", file=sys.stderr, flush=True)


def report(results: list[Result]) -> str:
    """The table."""
    lines = ["", f"{'seconds':44}" + "".join(f"{result.rows:>14,} rows" for result in results)]

    def line(name: str, values: list[str]) -> None:
        lines.append(f"{name:44}" + "".join(f"{value:>19}" for value in values))

    def section(title: str, part: Callable[[Result], Mapping[Any, float]], total: str) -> None:
        lines.append(title)
        for name in part(results[0]):
            line(f"  {name}", [f"{part(result)[name]:.3f}" for result in results])
        if total:
            line(f"  {total}", [f"{sum(part(result).values()):.3f}" for result in results])

    section(f"roll-up, {DAYS} days, in pandas", lambda result: result.answers, "the eight")
    line("  the eight, the first time", [f"{result.first_s:.3f}" for result in results])
    section("the eight over the last … days", lambda result: result.shorter, "")
    section("the eight for one …", lambda result: result.filtered, "")
    section("the newest requests, a page of the dashboard", lambda result: result.drilled, "")
    section(f"the log itself, {DAYS} days, without pandas", lambda result: result.raw, "the eight")
    section(f"LiteLLM's own, {LITELLM_DAYS} days", lambda result: result.litellm, "all")
    lines.append("the roll-up itself")
    line("  first build", [f"{result.build_s:.1f}" for result in results])
    line("  first build, rows/s", [f"{result.rows / result.build_s:,.0f}" for result in results])
    line(f"  refresh after {NEW_ROWS:,} new rows", [f"{result.refresh_s:.3f}" for result in results])
    for name in ("log", "roll-up"):
        line(f"  {name} on disk, MB", [f"{result.sizes[name] / 1e6:,.0f}" for result in results])
    line("  memory of the asking process, MB", [f"{result.memory_mb:.0f}" for result in results])
    return "\n".join(lines)


def missed(figures: dict[str, float]) -> list[str]:
    """The thresholds that are missed, in words."""
    holds = {"<": lambda value, limit: value < limit, ">=": lambda value, limit: value >= limit}
    return [
        f"{name} is {figures[name]:.4g}, it must be {sign} {limit:g}"
        for name, (sign, limit) in THRESHOLDS.items()
        if not holds[sign](figures[name], limit)
    ]


def main() -> None:
    """Measure all sizes; the exit code is 1 when a threshold is missed at the last one."""
    parser = argparse.ArgumentParser(prog="make bench-usage", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes of the logs, the last one counts")
    parser.add_argument(
        "--backtest", action="store_true", help="try the analyses where the truth is known, nothing else"
    )
    options = parser.parse_args()
    if options.backtest:
        print(backtests.report())
        return
    sizes_ = options.rows
    BUILD.mkdir(parents=True, exist_ok=True)
    with hub(of_role(BUILD, "gateway"), of_role(BUILD, "database"), SETTINGS) as server:
        results = []
        for rows in sizes_:
            results.append(measured(server, rows))
            server.drop(f"usage_{rows}")
    figures = results[-1].figures
    print(report(results))
    problems = missed(figures)
    print("".join(f"\nmissed: {words}" for words in problems))
    values = {
        name: f"{value:,.0f}".replace(",", "") if value >= 1000 else f"{value:.3g}" for name, value in figures.items()
    }
    print("bench-usage: " + " ".join(f"{name}={value}" for name, value in values.items()))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
