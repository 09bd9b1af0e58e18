"""What is left when the kernel, the hub or the tab dies in the middle of an answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter_page import SECONDS, JupyterPage
from tests.browser.panel_page import PANEL, PanelPage
from tests.support.lab import ROOT, free_ports, is_free, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.ui]

PACE = 20  # words a second
LONG = f"slow 1000 {1 / PACE}"
Eventually = Callable[..., None]


class HubProcess:
    """A scripted hub in a process of its own, that can be killed."""

    def __init__(self) -> None:
        [port] = free_ports(1)
        command = [sys.executable, "-m", "tests.doubles.scripted_model", str(port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        wait_until(lambda: not is_free(port), 20, "the scripted hub listens")
        self.url = f"http://127.0.0.1:{port}/v1"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def hub() -> Iterator[HubProcess]:
    running = HubProcess()
    yield running
    running.kill()


@pytest.fixture
def panel(hub: HubProcess, jupyter_page: JupyterPage, eventually: Eventually) -> PanelPage:
    """A panel with one finished answer and one that has come to its fortieth word."""
    cell = f"from widgets import ChatPanel\npanel = ChatPanel(base_url={hub.url!r}, api_key='sk-test')\npanel"
    jupyter_page.open(cell, "import os\nprint('pid', os.getpid(), 'talk', panel.conversation)").run_cell(0)
    jupyter_page.run_cell(1)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("hello")
    panel.expect_state("done")
    panel.ask(LONG)
    eventually(lambda: words(panel.text()) >= 40, "the answer does not stream")
    return panel


def words(text: str) -> int:
    """How many words of a counted answer have come."""
    found = re.findall(r"word(\d+) ", text)
    assert [int(number) for number in found] == list(range(len(found))), "a gap in the answer"
    return len(found)


def reopened(jupyter_page: JupyterPage, hub: HubProcess, talk: str) -> PanelPage:
    """The conversation as another kernel finds it."""
    cell = f"from widgets import ChatPanel\nChatPanel(base_url={hub.url!r}, api_key='sk-test', conversation={talk!r})"
    jupyter_page.open(cell).run_cell(0)
    expect(jupyter_page.page.locator(PANEL)).to_have_count(1, timeout=30 * SECONDS)
    return PanelPage(jupyter_page.page)


@pytest.fixture
def another_page(lab: object, jupyter_page: JupyterPage) -> Iterator[JupyterPage]:
    context = jupyter_page.page.context
    page = JupyterPage(context.new_page(), lab.jupyter_url, lab.jupyter_token)  # type: ignore[attr-defined]
    yield page
    page.remove()


def test_a_killed_kernel_loses_no_finished_message_and_at_most_a_second_of_the_last(
    panel: PanelPage, hub: HubProcess, jupyter_page: JupyterPage, another_page: JupyterPage
) -> None:
    output = jupyter_page.output(1).inner_text()
    pid, talk = re.search(r"pid (\d+) talk (\S+)", output).groups()  # type: ignore[union-attr]
    seen = words(panel.text())
    os.kill(int(pid), signal.SIGKILL)
    again = reopened(another_page, hub, talk)
    expect(again.answers).to_have_count(2, timeout=30 * SECONDS)
    assert again.text(0).strip() == "You said: hello"
    assert words(again.text(1) + " ") >= seen - PACE
    again.expect_state("cut|stopped", 1)


def test_a_restarted_kernel_is_said_and_the_panel_goes_on_with_what_was_typed(
    panel: PanelPage, jupyter_page: JupyterPage
) -> None:
    panel.prompt.fill("typed before")
    page = jupyter_page.page
    page.locator(".lm-MenuBar-itemLabel", has_text="Kernel").click()
    page.locator("[data-command='kernelmenu:restart']").click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    expect(panel.silent).to_contain_text("The kernel was restarted", timeout=10 * SECONDS)
    panel.prompt.press("Enter")
    expect(panel.prompt).to_have_value("typed before")
    panel.silent.get_by_role("button", name="Start again here").click()
    expect(panel.silent).to_be_hidden(timeout=30 * SECONDS)
    panel.connected()
    expect(panel.answers).to_have_count(2)
    assert panel.text(0).strip() == "You said: hello"
    expect(panel.prompt).to_have_value("typed before")
    panel.prompt.press("Enter")
    panel.expect_state("done", 2)


def test_a_killed_hub_leaves_the_answer_cut_with_all_that_came(
    panel: PanelPage, hub: HubProcess, jupyter_page: JupyterPage, another_page: JupyterPage
) -> None:
    seen = words(panel.text())
    hub.kill()
    panel.expect_state("cut")
    assert words(panel.text() + " ") >= seen
    expect(panel.answers.last).to_contain_text("cut")
    talk = re.search(r"talk (\S+)", jupyter_page.output(1).inner_text())
    assert talk
    again = reopened(another_page, hub, talk[1])
    expect(again.answers).to_have_count(2, timeout=30 * SECONDS)
    assert again.text(1) == panel.text()


def test_a_closed_tab_misses_nothing(panel: PanelPage, jupyter_page: JupyterPage, page: Page) -> None:
    address = jupyter_page.address()
    page.locator(".jp-CodeCell .cm-content").first.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")).to_have_count(0)
    seen = words(panel.text())
    page.close()
    closed_at = time.monotonic()
    other = jupyter_page.page.context.new_page()
    other.goto(address)
    again = PanelPage(other)
    expect(again.answers).to_have_count(2, timeout=60 * SECONDS)
    away = time.monotonic() - closed_at
    wait_until_words(again, seen + int(away * PACE * 0.5))


def wait_until_words(panel: PanelPage, count: int) -> None:
    wait_until(lambda: words(panel.text(1) + " ") >= count, 30, f"{count} words are shown")
