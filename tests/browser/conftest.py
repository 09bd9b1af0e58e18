"""Chromium, and JupyterLab in it.

The running lab comes from the fixture `lab`; of it `jupyter_url` and `jupyter_token` are used here.
"""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAILED = pytest.StashKey[bool]()
SECONDS = 1000.0  # Playwright counts milliseconds


class JupyterPage:
    """A JupyterLab tab with one notebook of its own, whose kernel and file go when the test ends."""

    def __init__(self, page: Page, url: str, token: str, name: str = "") -> None:
        self.page = page
        self._url = url.rstrip("/")
        self._token = token
        self._name = name or f"browser-test-{uuid.uuid4().hex[:8]}.ipynb"

    def open(self, *cells: str) -> JupyterPage:
        """Open a new notebook with these code cells and wait until its kernel is ready."""
        return self._open({**_empty_notebook(), "cells": [_cell(source) for source in cells]})

    def open_file(self, path: Path) -> JupyterPage:
        """Open a copy of a notebook file and wait until its kernel is ready."""
        return self._open(json.loads(path.read_text(encoding="utf-8")))

    def _open(self, notebook: dict[str, Any]) -> JupyterPage:
        self._call("PUT", f"/api/contents/{self._name}", {"type": "notebook", "format": "json", "content": notebook})
        workspace = uuid.uuid4().hex
        self.page.goto(f"{self._url}/lab/workspaces/{workspace}/tree/{self._name}?token={self._token}")
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        """Wait until the kernel is connected and has nothing to do; the page alone calls it idle too early."""
        waited = 0
        while not any(self._is_ready(session["kernel"]) for session in self._sessions()):
            assert waited < 90 * SECONDS, "the notebook's kernel does not get ready"
            self.page.wait_for_timeout(200)
            waited += 200
        idle = self.page.locator(".jp-NotebookPanel:visible .jp-Notebook-ExecutionIndicator[data-status='idle']")
        idle.wait_for(timeout=90 * SECONDS)

    def _is_ready(self, kernel: dict[str, Any]) -> bool:
        return bool(kernel["execution_state"] == "idle" and kernel["connections"] > 0)

    def _sessions(self) -> list[dict[str, Any]]:
        sessions = json.loads(self._call("GET", "/api/sessions"))
        return [session for session in sessions if session["path"] == self._name]

    def run_all(self) -> None:
        """Start all cells, as a user does from the menu."""

        def choose() -> None:
            self.page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
            self.page.locator("[data-command='runmenu:run-all']").click()

        self._start(choose, 0)

    def run_cell(self, number: int) -> None:
        """Start one code cell, counted from 0, without waiting for its end."""

        def press() -> None:
            editor = self.page.locator(".jp-CodeCell").nth(number).locator(".cm-content")
            editor.click()
            editor.press("Control+Enter")

        self._start(press, number)

    def _start(self, action: Callable[[], None], number: int) -> None:
        """Run cells and see that they begin: JupyterLab drops them, or asks for a kernel, while it greets a new one."""
        prompt = self.page.locator(".jp-CodeCell").nth(number).locator(".jp-InputPrompt")
        for _ in range(3):
            action()
            select_kernel = self.page.locator(".jp-Dialog button.jp-mod-accept")
            if select_kernel.is_visible():
                select_kernel.click()
            if self._began(prompt):
                return
        raise AssertionError(f"cell {number} does not start")

    def _began(self, prompt: Locator) -> bool:
        # A cell that was dropped shows a star for a moment, too: only what stays counts.
        waited = 0
        while waited < 2000:
            if re.search(r"\d", prompt.inner_text()):
                return True
            self.page.wait_for_timeout(100)
            waited += 100
        return "*" in prompt.inner_text()

    def output(self, number: int) -> Locator:
        """Return the output area of a code cell, counted from 0."""
        return self.page.locator(".jp-CodeCell").nth(number).locator(".jp-Cell-outputArea")

    def panel(self, number: int = 0) -> Locator:
        """Return a chat panel on the page, counted from 0, and wait until it is drawn."""
        panel = self.page.locator("section.lab-chat").nth(number)
        panel.wait_for(timeout=60 * SECONDS)
        return panel

    def remove(self) -> None:
        """End the notebook's kernel and delete the notebook."""
        for session in self._sessions():
            self._call("DELETE", f"/api/sessions/{session['id']}")
        self._call("DELETE", f"/api/contents/{self._name}")

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())


def _empty_notebook() -> dict[str, Any]:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": [], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _cell(source: str) -> dict[str, Any]:
    identity = uuid.uuid4().hex[:8]
    return {
        "cell_type": "code",
        "id": identity,
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one for this folder: Playwright's loop must have ended before other tests run loops."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed, for its fixtures."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty tab with cookies and settings of its own; a failed test leaves its picture in test-results/."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    tab = context.new_page()
    yield tab
    if request.node.stash.get(FAILED, False):
        name = re.sub(r"\W+", "-", request.node.name)
        tab.screenshot(path=request.config.rootpath / "test-results" / f"{name}.png")
    context.close()


@pytest.fixture
def jupyter_page(lab: Any, page: Page) -> Iterator[JupyterPage]:
    """JupyterLab of the running lab; `open` or `open_file` makes the notebook."""
    jupyter = JupyterPage(page, lab.jupyter_url, lab.jupyter_token)
    yield jupyter
    jupyter.remove()


@pytest.fixture
def eventually(page: Page) -> Callable[..., None]:
    """Poll a condition until it is true; fail with `message` at the deadline, given in seconds."""

    def wait(condition: Callable[[], bool], message: str, timeout: float = 20.0) -> None:
        waited = 0.0
        while not condition():
            assert waited < timeout, message
            page.wait_for_timeout(50)  # lets the page's events be handled meanwhile
            waited += 0.05

    return wait
