"""Where a gateway's CPU time goes, by py-spy's samples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.hub.gateways import BUILD

PROFILER = "py-spy==0.4.3"
RATE_HZ = 200
TOP = 25
LONGEST_S = 600
OURS = "litellm_hub/"


@dataclass
class Samples:
    """How often a function was seen.

    Attributes:
        total: Samples in all.
        cumulative: By function, itself or something that it called.
        own: By function, itself.
        lab: With a function of ours among them.
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
        self.lab += count * any(OURS in function for function in stack)


@contextmanager
def profiled(pid: int, file: Path) -> Iterator[Samples]:
    """Sample a Python process during the block.

    Args:
        pid: The process.
        file: Where the stacks go.
    """
    command = [_profiler(), "record", "--pid", str(pid), "--rate", str(RATE_HZ), "--duration", str(LONGEST_S)]
    command += ["--format", "raw", "--nonblocking", "--full-filenames", "--output", file]
    samples = Samples()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as profiler:
        assert profiler.stdout
        said = profiler.stdout.readline()
        try:
            yield samples
        finally:
            profiler.send_signal(signal.SIGINT)
            said += profiler.communicate()[0]
    if not file.exists():
        raise SystemExit(f"py-spy could not look into the gateway (root or ptrace is needed):\n{said}")
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        samples.add([_short(function) for function in stack.split(";")], int(count))


def table(samples: Samples) -> str:
    """The functions that cost most, by all that they called and by themselves, and our share."""
    lines = [f"{samples.total} samples; {samples.lab / samples.total:.1%} of them within our own code or below it"]
    for title, counts in (("with what they call", samples.cumulative), ("themselves", samples.own)):
        lines.append(f"{title}:")
        lines += [f"  {count / samples.total:6.1%}  {name}" for name, count in counts.most_common(TOP)]
    mine = Counter({name: count for name, count in samples.cumulative.items() if OURS in name})
    lines.append("ours, with what they call:")
    lines += [f"  {count / samples.total:6.1%}  {name}" for name, count in mine.most_common(TOP)]
    return "\n".join(lines)


def _short(function: str) -> str:
    """Name and file without the line, which would split a function into many."""
    name, _, place = function.partition(" (")
    path = place.rpartition(":")[0].rpartition("site-packages/")[2]
    return f"{name} ({os.path.relpath(path) if path.startswith(os.sep) else path})"


def _profiler() -> Path:
    program = BUILD / "venv-profile/bin/py-spy"
    if not program.exists():
        uv = Path(sys.executable).with_name("uv")
        folder = program.parents[1]
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        python = folder / "bin/python"
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, PROFILER], check=True)
    return program
