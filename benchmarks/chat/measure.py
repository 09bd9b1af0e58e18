"""One answer, measured from the prompt to one second after its last word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, CDPSession, Page

from benchmarks.chat.answer import FIRST, LAST
from benchmarks.chat.chats import Chat
from benchmarks.chat.servers import get_json
from benchmarks.chat.stub import WORKS
from benchmarks.processes import Server

PROBE = Path(__file__).with_name("probe.js")
LONGEST_S = 240.0  # for one answer
AFTER_S = 1.0  # measured on after the last word: the work that a chat does at the end
QUIET = 0.03  # share of one core below which a page counts as settled
QUIET_WINDOW_S = 0.5
QUIET_PATIENCE_S = 15.0


@dataclass(frozen=True)
class Run:
    """What one answer took.

    Attributes:
        kb: Kilobytes (1000) to the browser: payload of its sockets, or of HTTP where there is none.
        first_ms: From the first token written by the stub to its text in the document.
        wall_s: From the first token written to the last word in the document.
        lag_ms: From the last token written to the last word in the document.
        kernel_s: CPU seconds of what runs the chat's code.
        relay_s: CPU seconds of the Jupyter server in between, 0 where there is none.
        renderer_s: CPU seconds of the browser's renderers, without those of the probe.
        long_tasks: Tasks of more than 50 ms.
        longest_ms: The longest of them.
        load: The machine's load average over the last minute.
    """

    kb: float
    first_ms: float
    wall_s: float
    lag_ms: float
    kernel_s: float
    relay_s: float
    renderer_s: float
    long_tasks: float
    longest_ms: float
    load: float

    @property
    def cpu_s(self) -> float:
        """CPU seconds altogether."""
        return self.kernel_s + self.relay_s + self.renderer_s


class Tab:
    """A page of a chat with the probe in it."""

    def __init__(self, page: Page, chat: Chat, stub: Server) -> None:
        self.page = page
        self.chat = chat
        self._stub = stub
        self.session: CDPSession = page.context.new_cdp_session(page)
        self._http = 0
        self.session.send("Network.enable", {"maxTotalBufferSize": 0})
        self.session.on("Network.dataReceived", self._count)

    def _count(self, event: dict[str, Any]) -> None:
        self._http += event["dataLength"]

    def log(self) -> list[dict[str, Any]]:
        """The stub's requests so far."""
        found: list[dict[str, Any]] = get_json(f"{self._stub.url}/log")
        return found

    def warm_up(self) -> None:
        """Have one short answer, so that the page loads what it loads late."""
        before = len(self.log())
        self.chat.ask(self.page, "warm")
        self.wait(lambda: any(record["done"] for record in self.log()[before:]), 60, "the first answer")
        self.settle()

    def settle(self) -> None:
        """Wait until page and kernel have nothing to do, or for `QUIET_PATIENCE_S` at most: some never rest."""
        deadline = time.monotonic() + QUIET_PATIENCE_S
        while time.monotonic() < deadline:
            before = cpu_seconds([*renderers(), *self.chat.kernel()])
            self.page.wait_for_timeout(QUIET_WINDOW_S * 1000)
            if cpu_seconds([*renderers(), *self.chat.kernel()]) - before < QUIET * QUIET_WINDOW_S:
                return

    def wait(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.chat.name}: {what} did not come within {seconds:g} s")
            self.page.wait_for_timeout(250)

    def answer(self, work: str) -> Run:
        """Ask for one of the stub's works and measure its answer."""
        before = len(self.log())
        kernel, relay, browser = self.chat.kernel(), self.chat.relay(), renderers()
        self.page.evaluate("(values) => chatProbe.start(...values)", [self.chat.selector, FIRST, LAST])
        http, cpu = self._http, [cpu_seconds(part) for part in (kernel, relay, browser)]
        self.chat.ask(self.page, work)
        self.wait(lambda: self.page.evaluate("chatProbe.lastSeen"), LONGEST_S, "the last word")
        self.page.wait_for_timeout(AFTER_S * 1000)
        used = [cpu_seconds(part) - start for part, start in zip((kernel, relay, browser), cpu, strict=True)]
        seen = self.page.evaluate("chatProbe.read()")
        [record] = [record for record in self.log()[before:] if record["work"] == work]
        assert record["sent"] == WORKS[work][0], record
        return Run(
            kb=(seen["received"] or self._http - http) / 1000,
            first_ms=seen["firstSeen"] - record["first"] * 1000,
            wall_s=seen["lastSeen"] / 1000 - record["first"],
            lag_ms=seen["lastSeen"] - record["last"] * 1000,
            kernel_s=used[0],
            relay_s=used[1],
            renderer_s=used[2] - seen["cost"] / 1000,
            long_tasks=seen["longTasks"],
            longest_ms=seen["longest"],
            load=psutil.getloadavg()[0],
        )


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """CPU seconds that processes have used since their start."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def renderers() -> list[psutil.Process]:
    """The renderer processes of this program's browser."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "--type=renderer" in process.cmdline():
                found.append(process)
    return found


@contextmanager
def opened(browser: Browser, chat: Chat, stub: Server) -> Iterator[Tab]:
    """A fresh page (in Jupyter with a fresh kernel) of a chat, warmed up."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    try:
        page = context.new_page()
        page.add_init_script(path=PROBE)
        tab = Tab(page, chat, stub)
        chat.open(page)
        try:
            tab.settle()
            tab.warm_up()
            yield tab
        finally:
            chat.close()
    finally:
        context.close()


def one(browser: Browser, chat: Chat, stub: Server, work: str) -> Run:
    """Measure one answer on a fresh page."""
    with opened(browser, chat, stub) as tab:
        return tab.answer(work)
