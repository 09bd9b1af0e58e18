"""A notebook in a tab of JupyterLab, as tests drive it."""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

SECONDS = 1000.0  # Playwright counts milliseconds
SIDE = "genailabs-chat"  # what the kernel of the chat beside the work serves


def open_chat(page: Page) -> None:
    """Open the chat beside the work."""
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input, .jp-ModalCommandPalette input").first.fill("Chat beside")
    page.locator("[data-command='genailabs:open-chat']").first.click()


class JupyterPage:
    """A JupyterLab tab with one notebook of its own, whose kernel and file go when the test ends."""

    def __init__(self, page: Page, url: str, token: str, name: str = "") -> None:
        self.page = page
        self._url = url.rstrip("/")
        self._token = token
        self._name = name or f"browser-test-{uuid.uuid4().hex[:8]}.ipynb"

    def open(self, *cells: str) -> JupyterPage:
        """Open a new notebook with these code cells and wait until its kernel is ready."""
        return self._open({**empty_notebook(), "cells": [new_cell(source) for source in cells]})

    def open_file(self, path: Path) -> JupyterPage:
        """Open a copy of a notebook file and wait until its kernel is ready."""
        return self._open(json.loads(path.read_text(encoding="utf-8")))

    def _open(self, notebook: dict[str, Any]) -> JupyterPage:
        self._call("PUT", f"/api/contents/{self._name}", {"type": "notebook", "format": "json", "content": notebook})
        self.page.goto(self.address())
        self._wait_ready()
        return self

    def address(self) -> str:
        """Where the notebook is shown, in a workspace of its own."""
        return f"{self._url}/lab/workspaces/{uuid.uuid4().hex}/tree/{self._name}?token={self._token}"

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

    def sessions_of(self, path: str) -> list[str]:
        """Identities of the sessions that serve a path."""
        found = json.loads(self._call("GET", "/api/sessions"))
        return [session["id"] for session in found if session["path"] == path]

    def end_kernels(self, path: str) -> None:
        """End what serves a path."""
        for identity in self.sessions_of(path):
            self._call("DELETE", f"/api/sessions/{identity}")

    def remove(self) -> None:
        """End the notebook's kernel and delete the notebook."""
        self.end_kernels(self._name)
        self._call("DELETE", f"/api/contents/{self._name}")

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())


def empty_notebook() -> dict[str, Any]:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": [], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def new_cell(source: str) -> dict[str, Any]:
    identity = uuid.uuid4().hex[:8]
    return {
        "cell_type": "code",
        "id": identity,
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
