"""The panel in JupyterLab, Notebook 7 and Voilà: answers stream, and code becomes a cell of the right notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.frontends import Frontend, Notebook7Page
from tests.browser.jupyter_page import SECONDS, JupyterPage, empty_notebook, new_cell
from tests.browser.panel_page import PANEL, PanelPage
from tests.doubles.scripted_model import scripted_model
from tests.support.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.ui]

CELL = "from widgets import ChatPanel\nChatPanel({options})"
LAST = "print('last cell')"
CODE = "this:\n```python\nprint('six times seven is', 6 * 7)\n```\nand this:\n```bash\necho from the shell\n```"
ASK_FOR_CELL = """([panel, detail]) => {
  const told = [];
  const event = new CustomEvent("genailabs:insert-cell", {
    bubbles: true, composed: true, cancelable: true, detail: {...detail, done: (ok) => told.push(ok)},
  });
  document.querySelector(panel).dispatchEvent(event);
  return [event.defaultPrevented, told];
}"""


@pytest.fixture(params=["jupyterlab", "notebook7"])
def notebook(request: pytest.FixtureRequest, lab: Lab, page: Page) -> Iterator[JupyterPage]:
    """One notebook, in each of the two."""
    if request.param == "jupyterlab":
        opened = JupyterPage(page, lab.jupyter_url, lab.jupyter_token)
    else:
        server = request.getfixturevalue("notebook7")
        opened = Notebook7Page(page, server.url, server.token)
    yield opened
    opened.remove()


def insert(page: Page, code: str) -> object:
    """Ask for a cell as the panel does; return whether somebody served it, and what the panel was told."""
    return page.evaluate(ASK_FOR_CELL, [PANEL, {"code": code, "language": "python", "run": False}])


def expect_source(page: Page, number: int, text: str) -> None:
    """See that a cell has a source; the notebook draws its cells late where many things happen."""
    expect(page.locator(".jp-CodeCell").nth(number).locator(".cm-content")).to_have_text(text, use_inner_text=True)


def test_code_of_an_answer_gets_into_a_new_cell_below_the_panel_and_runs_when_asked(notebook: JupyterPage) -> None:
    with scripted_model() as model:
        cell = CELL.format(options=f"base_url={model.url!r}, api_key='sk-test-key'")
        page = notebook.open(cell, LAST).page
        notebook.run_cell(0)
        panel = PanelPage(page).connected()
        panel.ask(CODE)
        panel.expect_state("done")
    python, shell = (panel.answers.last.locator(".lab-chat-code").nth(number) for number in (0, 1))
    python.get_by_role("button", name="Insert into a new cell", exact=True).click()
    expect(page.locator(".jp-CodeCell")).to_have_count(3)
    expect_source(page, 1, "print('six times seven is', 6 * 7)")
    expect(page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    python.get_by_role("button", name="Insert into a new cell and run it").click()
    expect(notebook.output(1)).to_contain_text("six times seven is 42", timeout=20 * SECONDS)
    expect(page.locator(".jp-CodeCell")).to_have_count(3)  # the cell that was inserted is the one that ran
    shell.get_by_role("button", name="Insert into a new cell and run it").click()
    expect(notebook.output(1)).to_contain_text("from the shell", timeout=20 * SECONDS)
    expect_source(page, 3, LAST)


def test_the_cell_gets_into_the_notebook_of_the_panel_not_into_the_one_in_front(
    jupyter_page: JupyterPage, lab: Lab
) -> None:
    page = jupyter_page.open(CELL.format(options=""), LAST).page
    jupyter_page.run_cell(0)
    PanelPage(page).connected()
    page.locator(".lm-MenuBar-itemLabel", has_text="File").click()
    page.locator(".lm-Menu-item[data-type='submenu']", has_text="New").hover()
    page.locator(".lm-Menu-item[data-command='notebook:create-new']").click()
    expect(page.locator(".jp-NotebookPanel")).to_have_count(2)
    assert insert(page, "y = 1") == [True, [True]]
    panel_notebook = page.locator(".jp-NotebookPanel", has=page.locator(PANEL))
    expect(panel_notebook.locator(".jp-CodeCell")).to_have_count(3)


def test_voila_streams_an_answer_and_leaves_code_to_be_copied(voila: Frontend, page: Page) -> None:
    path = voila.folder / "chat.ipynb"
    path.write_text(json.dumps({**empty_notebook(), "cells": [new_cell(CELL.format(options="max_tokens=20"))]}))
    page.goto(f"{voila.url}/voila/render/{path.name}", timeout=90 * SECONDS)
    panel = PanelPage(page).connected()
    panel.ask("Say hello.")
    panel.expect_state("done")
    assert panel.text().strip()
    assert insert(page, "x = 1") == [False, []], "nobody serves it: the panel copies"
