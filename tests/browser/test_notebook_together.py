"""Panels, tabs and models do not hold each other up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PanelPage
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, scripted_hub

pytestmark = [pytest.mark.lab, pytest.mark.ui]

Eventually = Callable[..., None]
FROZEN_S = 12
FREEZE = f"setTimeout(() => {{ const end = Date.now() + {FROZEN_S * 1000}; while (Date.now() < end); }})"
PARAGRAPH = "word " * 800 + "\n\n"


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_hub() as running:
        yield running


def cell(hub: ScriptedHub) -> str:
    return f"from widgets import ChatPanel\nChatPanel(base_url={hub.url!r}, api_key='sk-test-key')"


def grows(*panels: PanelPage) -> Callable[[], bool]:
    """Whether all these panels have ten words more than now."""
    before = [len(panel.text()) for panel in panels]
    return lambda: all(len(panel.text()) > was + 50 for panel, was in zip(panels, before, strict=True))


def test_a_frozen_tab_does_not_slow_the_model(
    jupyter_page: JupyterPage, hub: ScriptedHub, eventually: Eventually
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def lines() -> Iterator[str]:
        yield from answer_lines([PARAGRAPH] * 3)[:3]
        begun.set()
        *most, last = answer_lines([PARAGRAPH] * 300)
        yield from most
        ended.set()  # a caller leaves when it has the last line
        yield last

    hub.reply = lambda body: Reply(lines(), pause=0.01)
    jupyter_page.open(cell(hub)).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("Go on.")
    assert begun.wait(20)
    jupyter_page.page.evaluate(FREEZE)
    frozen_at = time.monotonic()
    assert ended.wait(FROZEN_S), "the model waits for the browser"
    assert time.monotonic() < frozen_at + FROZEN_S
    panel.expect_state("done")
    # A long answer is drawn in short tasks, which go on after its end is known.
    eventually(lambda: panel.text().count("word") == 303 * 800, "a part of the answer is not drawn")


def test_two_panels_stream_at_once(jupyter_page: JupyterPage, hub: ScriptedHub, eventually: Eventually) -> None:
    hub.reply = lambda body: Reply(answer_lines(["word "] * 400), pause=0.05)
    jupyter_page.open(cell(hub), cell(hub)).run_cell(0)
    jupyter_page.run_cell(1)
    panels = [PanelPage(jupyter_page.page, number).connected() for number in (0, 1)]
    for panel in panels:
        panel.ask("Go on.")
    for _ in range(2):
        eventually(grows(*panels), "one of them waits")
    panels[0].stop.click()
    panels[0].expect_state("stopped")
    eventually(grows(panels[1]), "the other one stopped too")
    expect(panels[1].answers.last).to_have_attribute("data-state", "streaming")
