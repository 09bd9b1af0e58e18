"""A cell that blocks the kernel neither holds an answer up nor keeps Stop from the model server."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PanelPage
from tests.unit.client.scripted_hub import Reply, answer_lines, scripted_hub

pytestmark = [pytest.mark.lab, pytest.mark.ui]

BLOCKED_S = 12
STOP_S = 0.5  # from the key to the closed request at the model server
Eventually = Callable[..., None]


def test_an_answer_streams_on_and_stops_at_once_while_a_cell_blocks_the_kernel(
    jupyter_page: JupyterPage, eventually: Eventually
) -> None:
    with scripted_hub() as hub:
        hub.reply = lambda body: Reply(answer_lines(["word "] * 2000), pause=0.05)
        panel_cell = f"from widgets import ChatPanel\nChatPanel(base_url={hub.url!r}, api_key='sk-test-key')"
        jupyter_page.open(panel_cell, f"import time\ntime.sleep({BLOCKED_S})").run_cell(0)
        panel = PanelPage(jupyter_page.page).connected()
        panel.ask("Go on.")
        eventually(lambda: len(panel.text()) > 20, "no text comes")
        jupyter_page.run_cell(1)
        blocked_at = time.monotonic()
        for second in range(2, 7, 2):
            before = len(panel.text())
            eventually(lambda: time.monotonic() > blocked_at + second, "time passes")  # noqa: B023
            assert len(panel.text()) >= before + 50, (
                f"the answer does not stream in second {second} of the blocked cell"
            )
        panel.prompt.focus()
        stopped_at = time.monotonic()
        panel.prompt.press("Escape")
        assert hub.left.wait(5), "Stop does not reach the model server"
        assert time.monotonic() - stopped_at < STOP_S
        assert time.monotonic() < blocked_at + BLOCKED_S, "the cell did not block any more"
        panel.expect_state("stopped")
        prompt = jupyter_page.page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt")
        expect(prompt).to_have_text("[*]:")
