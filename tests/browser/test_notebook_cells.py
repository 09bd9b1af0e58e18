"""Code of an answer becomes a cell of the right notebook, in JupyterLab and in Notebook 7."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.frontends import Frontend, Notebook7Page
from tests.browser.jupyter_page import SECONDS, JupyterPage, empty_notebook, new_cell
from tests.browser.panel_page import PANEL, PanelPage
from tests.support.gateway import Gateway
from tests.support.lab import Lab
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = [pytest.mark.lab, pytest.mark.ui]

CELLS = ("from widgets import ChatPanel\nChatPanel()", "print('last cell')")
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


def insert(page: Page, code: str, run: bool = False) -> object:
    """Ask for a cell as the panel does; return whether somebody served it, and what the panel was told."""
    return page.evaluate(ASK_FOR_CELL, [PANEL, {"code": code, "language": "python", "run": run}])


def source(page: Page, number: int) -> str:
    return page.locator(".jp-CodeCell").nth(number).locator(".cm-content").inner_text()


def test_code_gets_into_a_new_cell_below_the_panel_and_runs_when_asked(notebook: JupyterPage) -> None:
    page = notebook.open(*CELLS).page
    notebook.run_cell(0)
    PanelPage(page).connected()
    assert insert(page, "x = 20\nx + 1") == [True, [True]]
    expect(page.locator(".jp-CodeCell")).to_have_count(3)
    assert source(page, 1) == "x = 20\nx + 1"
    expect(page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    assert insert(page, "print('ran ' * 2)", run=True) == [True, [True]]
    expect(page.locator(".jp-CodeCell")).to_have_count(4)
    expect(notebook.output(1)).to_contain_text("ran ran", timeout=20 * SECONDS)
    assert source(page, 3) == "print('last cell')"


def test_the_cell_gets_into_the_notebook_of_the_panel_not_into_the_one_in_front(
    jupyter_page: JupyterPage, lab: Lab
) -> None:
    page = jupyter_page.open(*CELLS).page
    jupyter_page.run_cell(0)
    PanelPage(page).connected()
    page.locator(".lm-MenuBar-itemLabel", has_text="File").click()
    page.locator(".lm-Menu-item[data-type='submenu']", has_text="New").hover()
    page.locator(".lm-Menu-item[data-command='notebook:create-new']").click()
    expect(page.locator(".jp-NotebookPanel")).to_have_count(2)
    assert insert(page, "y = 1") == [True, [True]]
    panel_notebook = page.locator(".jp-NotebookPanel", has=page.locator(PANEL))
    expect(panel_notebook.locator(".jp-CodeCell")).to_have_count(3)


def test_the_buttons_of_a_code_block_insert_and_run_it(
    jupyter_page: JupyterPage, scripted_gateway: tuple[Gateway, ScriptedHub]
) -> None:
    gateway, _ = scripted_gateway
    cell = (
        f"from widgets import ChatPanel\nChatPanel(model='scripted', base_url={gateway.url!r}, api_key={gateway.key!r})"
    )
    page = jupyter_page.open(cell, "print('last cell')").page
    jupyter_page.run_cell(0)
    panel = PanelPage(page).connected()
    panel.ask("this:\n```python\nprint('six times seven is', 6 * 7)\n```\nand this:\n```bash\necho from the shell\n```")
    panel.expect_state("done")
    blocks = panel.answers.last.locator(".lab-chat-code")
    blocks.first.get_by_role("button", name="Insert into a new cell", exact=True).click()
    expect(page.locator(".jp-CodeCell")).to_have_count(3)
    assert source(page, 1) == "print('six times seven is', 6 * 7)"
    blocks.first.get_by_role("button", name="Insert into a new cell and run it").click()
    expect(jupyter_page.output(1)).to_contain_text("six times seven is 42", timeout=20 * SECONDS)
    blocks.last.get_by_role("button", name="Insert into a new cell and run it").click()
    expect(jupyter_page.output(1)).to_contain_text("from the shell", timeout=20 * SECONDS)


def test_code_is_copied_where_no_cell_can_be_inserted(voila: Frontend, page: Page) -> None:
    cell = "from widgets import ChatPanel\nChatPanel(max_tokens=1)"
    path = voila.folder / "cells.ipynb"
    path.write_text(json.dumps({**empty_notebook(), "cells": [new_cell(cell)]}))
    page.goto(f"{voila.url}/voila/render/{path.name}", timeout=90 * SECONDS)
    PanelPage(page).connected()
    assert insert(page, "x = 1") == [False, []]
