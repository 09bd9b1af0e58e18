"""Measure the gateway beside LiteLLM alone and no gateway; see README.md beside this file.

Usage: python -m benchmarks.hub [--rounds N] [--scale SHARE] [--lab HOME] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.hub import gateways, load, profile, report
from benchmarks.hub.gateways import BUILD, Gateway, Parts, Settings
from benchmarks.processes import Server
from benchmarks.scratch import hub

LATENCY_MS, INTERVAL_MS, SLOTS = 50, 20, 256
INTERVAL_S = INTERVAL_MS / 1000
PIECES = 64
PLAIN_PIECES = 16
PLAIN, PLAIN_WORKERS = 200, 4
STREAMS, STREAM_WORKERS = 56, 4
# Streams that a search gives each of its workers: the first starts late, the last ends alone.
IN_A_ROW = 2
MOST_STREAMS = 128
FIRST_STREAMS = 8


@dataclass
class Bench:
    """What is measured, and how much of it.

    Attributes:
        runtime: The double.
        scale: Share of the requests that a whole run makes.
        limits: The last number of streams without a stall, by target.
    """

    runtime: Server
    scale: float
    limits: dict[str, int]

    @property
    def straight(self) -> load.Target:
        """The double itself."""
        return load.Target(f"{self.runtime.url}/v1", "none")

    def plain(self, target: load.Target) -> load.Answers:
        """The plain load."""
        return asyncio.run(load.plain(target, round(PLAIN * self.scale), PLAIN_WORKERS, PLAIN_PIECES))

    def streamed(self, target: load.Target) -> load.Answers:
        """The streamed load."""
        return asyncio.run(load.streamed(target, round(STREAMS * self.scale), STREAM_WORKERS, PIECES, INTERVAL_S))

    def search(self, name: str, target: load.Target, gateway: Gateway | None) -> int:
        """The most streams at a time without a stall."""

        def holds(workers: int) -> bool:
            answers = asyncio.run(load.streamed(target, IN_A_ROW * workers, workers, PIECES, INTERVAL_S))
            if gateway:
                gateway.asked += IN_A_ROW * workers
            stalled = answers.stalled(INTERVAL_S)
            say(f"  {name}: {workers} streams, {stalled} stalled")
            return not stalled

        before = self.limits.get(name, FIRST_STREAMS if gateway else MOST_STREAMS)
        self.limits[name] = load.highest(holds, before, 1.25 if name in self.limits else 2, MOST_STREAMS)
        return self.limits[name]


def round_of(bench: Bench, running: list[Gateway]) -> dict[str, report.Round]:
    """Measure each target once.

    A gateway's CPU is read before the first request of a kind is sent to any of them and after the last row of all is
    written: the seconds of idling are the same for all.
    """
    found = {report.DIRECT: report.Round(), **{gateway.name: report.Round() for gateway in running}}
    targets = {report.DIRECT: bench.straight, **{gateway.name: gateway.target for gateway in running}}
    for kind in ("plain", "stream"):
        before = {gateway.name: gateway.cpu_s() for gateway in running}
        requests = {}
        for name, target in targets.items():
            answers = bench.plain(target) if kind == "plain" else bench.streamed(target)
            if kind == "plain":
                found[name].plain_ms = report.percentile(answers.seconds, 0.5) * 1000
                requests[name] = len(answers.seconds)
                continue
            requests[name] = len(answers.first_s)
            for share in (50, 99):
                first, piece = (report.percentile(each, share / 100) for each in (answers.first_s, answers.pieces_s))
                setattr(found[name], f"ttft_p{share}_ms", first * 1000)
                setattr(found[name], f"piece_p{share}_ms", piece * 1000)
        settle(running, requests)
        for gateway in running:
            cost = (gateway.cpu_s() - before[gateway.name]) / requests[gateway.name] * 1000
            setattr(found[gateway.name], f"{kind}_cpu_ms", cost)
            say(f"  {gateway.name}: {cost:.1f} ms of CPU for each {kind} request")
    for name, target in targets.items():
        gateway = next((each for each in running if each.name == name), None)
        found[name].streams = bench.search(name, target, gateway)
    for gateway in running:
        gateway.settle()
        found[gateway.name].memory_mb = gateway.memory_mb()
    return found


def settle(running: list[Gateway], requests: dict[str, int]) -> None:
    """Wait until all that was asked of the gateways is in their databases."""
    for gateway in running:
        gateway.asked += requests[gateway.name]
    for gateway in running:
        gateway.settle()


def warm_up(bench: Bench, running: list[Gateway]) -> None:
    """Let everything load what it loads late."""
    for gateway in running:
        asyncio.run(load.plain(gateway.target, 24, 4, PLAIN_PIECES))
        asyncio.run(load.streamed(gateway.target, 8, 4, 8, INTERVAL_S))
    settle(running, {gateway.name: 32 for gateway in running})


@contextmanager
def started(parts: Parts, *, with_litellm: bool, scale: float) -> Iterator[tuple[Bench, list[Gateway]]]:
    """Run the double, PostgreSQL and the gateways for the block."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(hub(parts.python, parts.database))
        runtime = stack.enter_context(gateways.double(LATENCY_MS, INTERVAL_MS, SLOTS))
        makers = [gateways.litellm, gateways.ours] if with_litellm else [gateways.ours]
        settings = Settings.rendered(parts, runtime, SLOTS)
        with ThreadPoolExecutor() as pool:
            running = list(pool.map(lambda make: stack.enter_context(make(parts, server, runtime, settings)), makers))
        bench = Bench(runtime, scale, {})
        warm_up(bench, running)
        yield bench, running


def say(words: str) -> None:
    """Tell on standard error what happens."""
    print(words, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print, judge; return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-hub", description="Measure the gateway beside LiteLLM alone.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the median is taken (default: 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of a round's requests, while developing")
    parser.add_argument("--lab", type=Path, help="home of a lab whose environments to use instead of making them")
    parser.add_argument("--profile", action="store_true", help="instead: where our gateway's CPU time goes")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    begin = time.monotonic()
    BUILD.mkdir(parents=True, exist_ok=True)
    parts = Parts.of_lab(given.lab) if given.lab else Parts.made()
    results = report.Results()
    with started(parts, with_litellm=not given.profile, scale=given.scale) as (bench, running):
        say(f"All servers are up and warm after {time.monotonic() - begin:.0f} s")
        if given.profile:
            [own] = running
            for kind, run in (("plain", bench.plain), ("streamed", bench.streamed)):
                with profile.profiled(own.server.process.pid, BUILD / f"{kind}.folded") as samples:
                    run(own.target)
                print(f"\n{kind} requests\n{profile.table(samples)}")
            return 0
        for number in range(given.rounds):
            say(f"Round {number + 1} of {given.rounds}, load {os.getloadavg()[0]:.1f}")
            ordered = running if number % 2 == 0 else running[::-1]
            for name, round_ in round_of(bench, ordered).items():
                results.add(name, round_)
    kept = {target: [asdict(each) for each in rounds] for target, rounds in results.rounds.items()}
    (BUILD / "results.json").write_text(json.dumps(kept, indent=1))
    found = report.figures(results)
    misses = report.missed(found)
    print(f"\n{report.table(results)}\n\nTook {(time.monotonic() - begin) / 60:.1f} minutes.")
    for miss in misses:
        print(f"Missed: {miss}")
    print(report.last_line(found))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
