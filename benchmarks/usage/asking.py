"""Ask the eight questions in a process that does nothing else: `python -m benchmarks.usage.asking URL`, JSON out."""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from benchmarks.usage.questions import ANSWERS
from litellm_hub import usage

REPEATS = 5
PAGE = 25  # as widgets.panels.usage_view, whose import would count as memory
SHORTER = (7, 30, 60)


def eight(log: Engine, where: usage.UsageFilter) -> dict[str, float]:
    """Seconds of each answer, asked one after the other."""
    seconds = {}
    for name, answer in ANSWERS.items():
        begin = time.perf_counter()
        answer(log, where)
        seconds[name] = time.perf_counter() - begin
    return seconds


def repeated(log: Engine, where: usage.UsageFilter) -> dict[str, float]:
    """The median of several times, for each answer."""
    times = [eight(log, where) for _ in range(REPEATS)]
    return {name: statistics.median(each[name] for each in times) for name in ANSWERS}


def page(log: Engine, where: usage.UsageFilter) -> float:
    """The median of the seconds that the newest requests take, as many as the dashboard shows."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        usage.requests(log, where, limit=PAGE)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def most_memory() -> float:
    """The most memory that this process ever had, in MB; what getrusage says includes the parent's before the start."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> None:
    """Measure and print."""
    log = usage.connect(sys.argv[1])
    found: dict[str, object] = {"first_s": sum(eight(log, usage.EVERYTHING).values())}
    found["answers"] = repeated(log, usage.EVERYTHING)
    now = datetime.now(UTC)
    found["shorter"] = {
        days: sum(repeated(log, usage.UsageFilter(since=now - timedelta(days=days))).values()) for days in SHORTER
    }
    busiest = {name: usage.people(log, by=(name,), limit=1)[name][0] for name in ("user", "key_alias", "team")}
    found["filtered"] = {
        f"{name} ({value})": sum(repeated(log, usage.UsageFilter(**{name: value})).values())
        for name, value in busiest.items()
    }
    found["drilled"] = {"all": page(log, usage.EVERYTHING)} | {
        f"{name} ({value})": page(log, usage.UsageFilter(**{name: value})) for name, value in busiest.items()
    }
    found["memory_mb"] = most_memory()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
