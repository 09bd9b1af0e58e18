"""Measure the chat panel and its peers; see README.md beside this file.

Usage: python -m benchmarks.chat [--side] [--panel-only] [--rounds N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from dataclasses import asdict

from playwright.sync_api import Browser, sync_playwright

import tests.run
from benchmarks.chat import report
from benchmarks.chat.chats import PEERS, Chat, PanelChat, SideChat
from benchmarks.chat.environments import BUILD
from benchmarks.chat.history import after_history
from benchmarks.chat.measure import one
from benchmarks.chat.servers import stub
from benchmarks.processes import Server
from tests.browser.conftest import ARGUMENTS, CHROMIUM

HISTORIES = (5, 500)
# Times a round that the panel alone does a work. The fast one lasts a tenth of a second, so chance weighs most there.
PANEL_WORKS = {"fast": 3, "shortwork": 1, "longwork": 1}


def measure(browser: Browser, hub: Server, chats: list[Chat], panel: PanelChat, rounds: int) -> report.Results:
    """Go round all chats so many times, so that a busy minute of the machine hits each of them."""
    results = report.Results()

    def note(chat: Chat, work: str) -> None:
        started = time.monotonic()
        results.add(chat.name, work, one(browser, chat, hub, work))
        print(f"  {chat.name}, {work}: {time.monotonic() - started:.0f} s", flush=True)

    for round_ in range(rounds):
        print(f"Round {round_ + 1} of {rounds}", flush=True)
        for chat in chats:
            note(chat, "paced")
        for work, times in PANEL_WORKS.items():
            for _ in range(times):
                note(panel, work)
        for messages in HISTORIES:
            open_s, run = after_history(browser, panel, hub, messages)
            results.add(panel.name, f"shortwork after {messages}", run)
            if messages == max(HISTORIES):
                results.open_s.append(open_s)
            print(f"  {panel.name} after {messages} messages: opened in {open_s:.2f} s", flush=True)
    return results


def main() -> int:
    """Measure, print, judge; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure the chat panel and its peers.")
    parser.add_argument("--side", action="store_true", help="measure the chat beside the work instead of one in a cell")
    parser.add_argument("--panel-only", action="store_true", help="leave out the peers and the verdict on the ratios")
    parser.add_argument("--rounds", type=int, default=3, help="answers of which the median is taken (default: 3)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    tests.run.install_missing(tests.run.PACKAGES)
    started = time.monotonic()
    BUILD.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(stub())
        panel = stack.enter_context((SideChat if arguments.side else PanelChat).start(hub))
        peers = [] if arguments.panel_only else [stack.enter_context(peer.start(hub)) for peer in PEERS]
        print(f"All servers are up after {time.monotonic() - started:.0f} s", flush=True)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        stack.callback(browser.close)
        results = measure(browser, hub, [panel, *peers], panel, arguments.rounds)
    kept = [{"chat": chat, "work": work, **asdict(run)} for (chat, work), runs in results.runs.items() for run in runs]
    (BUILD / "results.json").write_text(json.dumps({"runs": kept, "open_s": results.open_s}, indent=1))
    found = report.figures(results)
    misses = report.missed(found)
    print(f"\n{report.table(results)}\n\nTook {(time.monotonic() - started) / 60:.1f} minutes.")
    for miss in misses:
        print(f"Missed: {miss}")
    print(report.last_line(found))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
