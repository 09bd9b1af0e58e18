"""The chat panel in what else shows notebooks, each with the lab's hub and its real model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.frontends import Frontend, Notebook7Page
from tests.browser.jupyter_page import SECONDS, empty_notebook, new_cell
from tests.browser.panel_page import PanelPage

pytestmark = [pytest.mark.lab, pytest.mark.ui]

CELL = "from widgets import ChatPanel\npanel = ChatPanel(max_tokens=40)\npanel"
Eventually = Callable[..., None]


@pytest.fixture
def notebook_page(notebook7: Frontend, page: Page) -> Iterator[Notebook7Page]:
    notebook = Notebook7Page(page, notebook7.url, notebook7.token)
    yield notebook
    notebook.remove()


def test_notebook_7_streams_an_answer(notebook_page: Notebook7Page, eventually: Eventually) -> None:
    notebook_page.open(CELL).run_cell(0)
    panel = PanelPage(notebook_page.page).connected()
    lengths: set[int] = set()
    panel.ask("Write a story about a ship.")

    def done() -> bool:
        lengths.add(len(panel.text()))
        return panel.answers.last.get_attribute("data-state") == "done"

    eventually(done, "the answer did not end", timeout=120)
    assert len(lengths) > 2, "the text did not grow piece by piece"


def test_voila_shows_the_panel_and_streams_an_answer(voila: Frontend, page: Page) -> None:
    path = voila.folder / "chat.ipynb"
    path.write_text(json.dumps({**empty_notebook(), "cells": [new_cell(CELL)]}))
    page.goto(f"{voila.url}/voila/render/{path.name}", timeout=90 * SECONDS)
    panel = PanelPage(page).connected()
    panel.ask("Say hello.")
    panel.expect_state("done")
    assert panel.text().strip()
