"""The chat from a notebook's code: awaited answers, the history, the cell magic; with the lab's hub and real model."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PATIENCE, PanelPage

pytestmark = [pytest.mark.lab, pytest.mark.ui]


def test_an_awaited_answer_streams_into_the_panel_and_is_in_the_history(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(
        "from widgets import ChatPanel\npanel = ChatPanel(model='smollm2', max_tokens=20)\npanel",
        "answer = await panel.ask('Say hello.')\nprint('said', len(answer.text) > 0, answer.state)",
        "panel.history",
    ).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text("said True done", timeout=PATIENCE)
    panel.expect_state("done")
    jupyter_page.run_cell(2)
    table = jupyter_page.output(2).locator("table")
    for text in ("Say hello.", "smollm2", "done"):
        expect(table).to_contain_text(text)
