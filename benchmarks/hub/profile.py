"""Where a gateway's CPU time goes, by py-spy's samples."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import made
from benchmarks.hub.gateways import BUILD

PROFILER = Path(__file__).parent / "peers/py-spy.txt"
RATE_HZ = 200
TOP = 40
LONGEST_S = 600
OURS, LITELLMS = "(litellm_hub/", "(litellm/"
EVENT_LOOP = "asyncio/runners.py"


@dataclass
class Samples:
    """How often a function was seen.

    Attributes:
        total: Samples in all.
        cumulative: By function, itself or something that it called.
        own: By function, itself.
        lab: In our code and the libraries that it calls, without LiteLLM's code that it calls.
    """

    total: int = 0
    cumulative: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    lab: int = 0

    def add(self, stack: list[str], count: int) -> None:
        """Note a stack, outermost function first."""
        self.total += count
        self.own[stack[-1]] += count
        self.cumulative.update(dict.fromkeys(stack, count))
        known = (function for function in reversed(stack) if OURS in function or LITELLMS in function)
        self.lab += count * (OURS in next(known, ""))


@contextmanager
def profiled(pid: int, file: Path) -> Iterator[Samples]:
    """Sample a Python process during the block.

    Args:
        pid: The process.
        file: Where the stacks go.
    """
    profiler = made(BUILD / "venv-py-spy", PROFILER) / "bin/py-spy"
    options = ["--rate", str(RATE_HZ), "--duration", str(LONGEST_S), "--format", "raw", "--full-filenames"]
    command = [profiler, "record", "--pid", str(pid), *options, "--nonblocking", "--output", file]
    samples = Samples()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sampling:
        assert sampling.stdout
        said = sampling.stdout.readline()
        try:
            yield samples
        finally:
            sampling.send_signal(signal.SIGINT)
            said += sampling.communicate()[0]
    if not file.exists():
        raise SystemExit(f"py-spy could not look into the gateway (root or ptrace is needed):\n{said}")
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        samples.add(_above_the_loop([_short(function) for function in stack.split(";")]), int(count))


def table(samples: Samples) -> str:
    """The functions that cost most: LiteLLM's and ours with what they call, all by themselves, and ours alone."""
    parts = {
        "LiteLLM's and ours, with what they call": {
            name: count for name, count in samples.cumulative.items() if OURS in name or LITELLMS in name
        },
        "all, by themselves": samples.own,
        "ours, with what they call": {name: count for name, count in samples.cumulative.items() if OURS in name},
    }
    own = f"{samples.lab / samples.total:.1%} of them in our own code and what it calls but LiteLLM"
    lines = [f"{samples.total} samples; {own}"]
    for title, counts in parts.items():
        lines.append(f"{title}:")
        lines += [f"  {count / samples.total:6.1%}  {name}" for name, count in Counter(counts).most_common(TOP)]
    return "\n".join(lines)


def _above_the_loop(stack: list[str]) -> list[str]:
    """Leave out what every function of the event loop stands on; the loop's own work stays as its last function."""
    last = max((place for place, function in enumerate(stack) if EVENT_LOOP in function), default=0)
    return stack[last + 1 :] or stack[-1:]


def _short(function: str) -> str:
    """Name and file without the line, which would split a function into many."""
    name, _, place = function.partition(" (")
    path = place.rpartition(":")[0].rpartition("site-packages/")[2]
    return f"{name} ({os.path.relpath(path) if path.startswith(os.sep) else path})"
