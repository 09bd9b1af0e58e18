"""The chat beside the work: a kernel of its own, and the notebook in front as its context."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter_page import SECONDS, SIDE, JupyterPage, open_chat
from tests.browser.panel_page import PANEL, PanelPage
from tests.browser.test_accessibility import offences

pytestmark = [pytest.mark.lab, pytest.mark.ui]

FROGS = "import pandas as pd\nfrogs = pd.DataFrame({'weight': [10000001, 2, None]})\n40 + 2"


@pytest.fixture
def side(jupyter_page: JupyterPage, page: Page) -> Iterator[PanelPage]:
    """The chat beside a notebook with a frame, a cell that shows the last value, and an error."""
    jupyter_page.open(FROGS, "_", "1 / 0")
    jupyter_page.run_cell(0)
    expect(jupyter_page.output(0)).to_contain_text("42")
    jupyter_page.run_cell(2)
    expect(jupyter_page.output(2)).to_contain_text("ZeroDivisionError")
    open_chat(page)
    yield PanelPage(page).connected()
    jupyter_page.end_kernels(SIDE)


def what_is_sent(side: PanelPage) -> str:
    side.root.get_by_label("Show exactly what will be sent").click()
    shown = side.root.get_by_role("region", name="What will be sent")
    expect(shown).to_contain_text("tokens")
    text = shown.inner_text()
    side.root.get_by_label("Show exactly what will be sent").click()
    return text


def attach(side: PanelPage, name: str) -> None:
    side.prompt.press_sequentially(f"@{name[:3]}")
    side.root.get_by_role("option", name=name).first.wait_for()
    side.prompt.press("Enter")


def test_it_knows_the_notebook_in_front_and_leaves_its_history_alone(
    side: PanelPage, jupyter_page: JupyterPage
) -> None:
    attach(side, "frogs")
    assert "10000001" in what_is_sent(side)
    side.prompt.press("Enter")
    side.expect_state("done|cut")
    expect(side.prompts.first).to_contain_text("frogs")
    attach(side, "error")
    assert "ZeroDivisionError: division by zero" in what_is_sent(side)
    side.prompt.fill("")
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text("42")


def test_it_outlives_the_notebooks_kernel_and_the_page(side: PanelPage, jupyter_page: JupyterPage, page: Page) -> None:
    side.ask("Say hello.")
    side.expect_state("done|cut")
    [session] = list(jupyter_page._sessions())
    jupyter_page._call("POST", f"/api/kernels/{session['kernel']['id']}/restart")
    side.ask("Say hello again.")
    side.expect_state("done|cut", 1)
    page.locator(".jp-NotebookPanel .cm-content").first.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")).to_have_count(0)
    page.reload()
    again = PanelPage(page)
    expect(again.answers).to_have_count(2, timeout=60 * SECONDS)
    again.connected()


def test_it_has_no_barriers_and_keeps_to_a_window_at_200_percent(side: PanelPage, page: Page, axe: str) -> None:
    side.ask("Say hello.")
    side.expect_state("done|cut")
    found = offences(page, axe, PANEL)
    assert not found, "\n".join(found)
    page.set_viewport_size({"width": 640, "height": 500})
    page.wait_for_function(
        "(panel) => document.querySelector(panel).getBoundingClientRect().right <= innerWidth", arg=PANEL
    )
    expect(side.root.get_by_role("button", name="New conversation")).to_be_in_viewport(ratio=1)
