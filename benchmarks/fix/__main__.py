"""Measure how many broken cells models mend at their first attempt; see README.md beside this file.

Usage: python -m benchmarks.fix [MODEL ...] [--url URL] [--key KEY] [--kind KIND] [--first N] [--reference] [--verbose]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.fix.cases import Case, read
from benchmarks.fix.kernels import Kernel, kernel
from litellm_hub.client import HubClient
from litellm_hub.client.errors import HubError
from tests.support.lab import read_env
from widgets.fixing.answer import code_of
from widgets.fixing.prompt import Cell, UnfinishedError, complete

WANTED = {"qwen2.5-coder-1.5b": 0.4}  # least share that a model must mend
LAB = Path("/opt/genailabs" if os.geteuid() == 0 else Path.home() / ".local/share/genailabs")

Ask = Callable[[Cell], str]


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: The case.
        passed: Whether the corrected cell ran and the check held.
        seconds: How long the model took.
        answer: What the model said.
        why: Why it did not pass.
    """

    case: Case
    passed: bool
    seconds: float
    answer: str
    why: str


def attempt(case: Case, ask: Ask, folder: Path) -> Outcome:
    """Run a case in a kernel of its own and have the broken cell corrected once.

    Raises:
        RuntimeError: The case is none: its setup fails, or its cell does not.
    """
    with kernel(folder) as notebook:
        for cell in case.setup:
            if failed := notebook.run(cell):
                raise RuntimeError(f"The setup of “{case.name}” fails: {failed.traceback}")
        failure = notebook.run(case.cell)
        if failure is None:
            raise RuntimeError(f"The cell of “{case.name}” does not fail.")
        told = notebook.tell(case.cell, failure)
        started = time.monotonic()
        try:
            answer = ask(msgspec.convert({**told, "source": case.cell, "error": failure.traceback}, Cell))
        except UnfinishedError as error:
            return Outcome(case, False, time.monotonic() - started, "", error.reason)
        seconds = time.monotonic() - started
        why = _judge(case, code_of(answer, case.cell), notebook)
        return Outcome(case, not why, seconds, answer, why)


def _judge(case: Case, code: str, notebook: Kernel) -> str:
    """Run what the model proposes; return why it does not do, empty if it does."""
    if not code:
        return "no code"
    if code == case.cell:
        return "no change"
    if failed := notebook.run(code):
        return failed.traceback.splitlines()[-1]
    if failed := notebook.run(case.check):
        return f"the check fails: {failed.traceback.splitlines()[-1]}"
    return ""


def measure(name: str, cases: list[Case], ask: Ask, *, verbose: bool) -> list[Outcome]:
    """Try all cases, and print each as it ends."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="bench-fix-") as folder:
        for number, case in enumerate(cases, 1):
            outcome = attempt(case, ask, Path(folder))
            outcomes.append(outcome)
            verdict = "passes" if outcome.passed else f"fails, {outcome.why}"
            print(f"  {number:2} {name}, {case.kind}, {case.name}: {verdict} ({outcome.seconds:.1f} s)", flush=True)
            if verbose and not outcome.passed:
                print("\n".join(f"       | {line}" for line in outcome.answer.splitlines()), flush=True)
    return outcomes


def table(results: dict[str, list[Outcome]]) -> str:
    """Return the shares for each model and kind of error."""
    kinds = list(dict.fromkeys(outcome.case.kind for outcomes in results.values() for outcome in outcomes))
    lines = [f"| kind | {' | '.join(results)} |", f"| --- |{' --- |' * len(results)}"]
    for kind in [*kinds, ""]:
        chosen = [[one for one in outcomes if kind in {"", one.case.kind}] for outcomes in results.values()]
        cells = [f"{sum(one.passed for one in part)} of {len(part)}" for part in chosen]
        lines.append(f"| {kind or '**all**'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fix", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models of the hub (default: its first)")
    parser.add_argument("--url", help="address of the API, ends in /v1 (default: LITELLM_BASE_URL, else the lab's)")
    parser.add_argument("--key", help="key for it (default: LITELLM_API_KEY, else the lab's)")
    parser.add_argument("--lab", type=Path, default=LAB, help=f"the lab (default: {LAB})")
    parser.add_argument("--kind", default="", help="one kind of error alone")
    parser.add_argument(
        "--first", type=int, default=None, metavar="N", help="the first N cases, ten are one of each kind"
    )
    parser.add_argument("--reference", action="store_true", help="no model: try the cases with their own fixed cells")
    parser.add_argument("--verbose", action="store_true", help="print the answers that fail")
    arguments = parser.parse_args()
    cases = [case for case in read() if arguments.kind in {"", case.kind}][: arguments.first]
    if not cases:
        parser.error(f"there is no kind {arguments.kind!r}")
    started = time.monotonic()
    try:
        if arguments.reference:
            results = {"reference": measure("reference", cases, _reference(cases), verbose=True)}
        else:
            client = _client(arguments)
            results = {}
            for model in arguments.models or client.models()[:1]:
                results[model] = measure(model, cases, partial(complete, client, model), verbose=arguments.verbose)
    except HubError as error:
        sys.exit(str(error))
    print(f"\n{table(results)}\n\nTook {(time.monotonic() - started) / 60:.1f} minutes.")
    shares = {model: sum(one.passed for one in outcomes) / len(outcomes) for model, outcomes in results.items()}
    print("Mended at the first attempt: " + ", ".join(f"{model} {share:.2f}" for model, share in shares.items()))
    below = [model for model, share in shares.items() if share < WANTED.get(model, 0)]
    return 1 if len(cases) == len(read()) and below else 0


def _reference(cases: list[Case]) -> Ask:
    """Return what answers with the cases' own fixed cells."""
    fixed = {case.cell: case.fixed for case in cases}
    return lambda cell: f"```python\n{fixed[cell.source]}\n```"


def _client(arguments: argparse.Namespace) -> HubClient:
    found = arguments.lab / "notebook.env"
    lab = read_env(found) if found.is_file() else {}
    url = arguments.url or os.environ.get("LITELLM_BASE_URL") or lab.get("LITELLM_BASE_URL")
    key = arguments.key or os.environ.get("LITELLM_API_KEY") or lab.get("LITELLM_API_KEY")
    return HubClient(url, key)


if __name__ == "__main__":
    sys.exit(main())
