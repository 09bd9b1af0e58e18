"""Explain, Fix and Change under the cells of a notebook, with a model that says what a cell or a wish has it say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.frontends import Frontend, jupyterlab
from tests.browser.jupyter_page import SECONDS, JupyterPage
from tests.browser.panel_page import PanelPage
from tests.doubles.scripted_model import scripted_model
from tests.support.lab import free_ports, wait_until
from tests.unit.client.scripted_hub import Reply, ScriptedHub

pytestmark = pytest.mark.ui

START = 90 * SECONDS  # the chat's kernel may have to start


def say(text: str, how: str = "say") -> str:
    """What has the model answer with a text."""
    return f"{how} {json.dumps(text)}"


FIXED = "values = [1, 2]\nprint('sum', sum(values))"
PROSE = f"The name is wrong:\n```python\n{FIXED}\n```"
BROKEN = f"# {say(PROSE)}\nvalues = [1, 2]\nprint('sum', sum(value))  \n\n"


@pytest.fixture(scope="module")
def hub() -> Iterator[ScriptedHub]:
    with scripted_model(free_ports(1)[0]) as running:
        yield running


@pytest.fixture(scope="module")
def server(hub: ScriptedHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    with jupyterlab(hub.url, tmp_path_factory.mktemp("jupyterlab")) as running:
        yield running


@pytest.fixture
def notebook(server: Frontend, page: Page) -> Iterator[JupyterPage]:
    """A notebook with a cell that failed and one that did not."""
    opened = JupyterPage(page, server.url, server.token).open(BROKEN, "answer = 42\nanswer", "_")
    opened.run_cell(1)
    opened.run_cell(0)
    expect(opened.output(0)).to_contain_text("NameError")
    yield opened
    opened.remove()


def help_of(page: Page, number: int = 0) -> Locator:
    return page.locator(".jp-CodeCell").nth(number).get_by_role("group", name="Help with this cell")


def press(page: Page, name: str) -> None:
    help_of(page).get_by_role("button", name=name, exact=True).click()


def expect_source(notebook: JupyterPage, meant: Callable[[str], bool], number: int = 0) -> None:
    """See that a cell is saved with a source that is meant; JupyterLab drops a Ctrl+S while it ends another save."""
    unsaved = notebook.page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")

    def is_saved() -> bool:
        if unsaved.count():
            notebook.page.keyboard.press("Control+s")
            return False
        try:
            saved = json.loads(notebook._call("GET", f"/api/contents/{notebook._name}"))
        except HTTPError:  # it is being written
            return False
        return meant(str(saved["content"]["cells"][number]["source"]))

    wait_until(is_saved, 20, f"the source of cell {number} is the one that is meant")


def propose(page: Page) -> Locator:
    press(page, "Fix")
    diff = help_of(page).get_by_role("region", name=re.compile("Proposed change"))
    diff.wait_for(timeout=START)
    return diff


def command(page: Page, name: str) -> None:
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input, .jp-ModalCommandPalette input").first.fill(name)
    page.locator(f".lm-CommandPalette-item:has-text('{name}')").first.wait_for()
    page.keyboard.press("Enter")


def test_a_fix_is_shown_applied_undone_and_run_by_keys_alone(notebook: JupyterPage, page: Page) -> None:
    expect(help_of(page, 1)).to_have_count(0)
    fix = help_of(page).get_by_role("button", name="Fix", exact=True)
    fix.focus()
    page.keyboard.press("Enter")
    diff = help_of(page).get_by_role("region", name="Proposed change: 3 lines removed, 1 added")
    diff.wait_for(timeout=START)
    expect(diff.locator("del")).to_have_count(3)
    expect(diff.locator("ins")).to_have_text("+print('sum', sum(values))\n", use_inner_text=False)
    expect_source(notebook, BROKEN.__eq__)
    help_of(page).get_by_role("button", name="Apply", exact=True).focus()
    page.keyboard.press("Enter")
    expect_source(notebook, FIXED.__eq__)
    expect(notebook.output(0)).to_contain_text("NameError")
    page.keyboard.press("Control+z")
    expect_source(notebook, BROKEN.__eq__)
    page.keyboard.press("Shift+Enter")
    expect(notebook.output(0)).to_have_text("sum 3\n", use_inner_text=False)
    expect_source(notebook, FIXED.__eq__)
    page.keyboard.press("Control+z")
    expect_source(notebook, BROKEN.__eq__)
    page.keyboard.press("Escape")
    expect(help_of(page)).to_have_count(0)


def test_the_model_reads_the_notebook_whose_history_stays_as_it_is(
    notebook: JupyterPage, hub: ScriptedHub, page: Page
) -> None:
    propose(page)
    asked = hub.requests[-1]
    assert asked["temperature"] == 0
    text = asked["messages"][-1]["content"]
    assert "variable `values`" in text
    assert "answer" in text
    assert "NameError: name 'value' is not defined" in text
    notebook.run_cell(2)
    expect(notebook.output(2)).to_contain_text("42")
    expect(page.locator(".jp-CodeCell").nth(2).locator(".jp-InputPrompt")).to_have_text("[3]:")


def test_a_change_that_comes_too_late_is_not_applied(notebook: JupyterPage, page: Page) -> None:
    propose(page)
    editor = page.locator(".jp-CodeCell").nth(0).locator(".cm-content")
    editor.click()
    page.keyboard.type("# mine")
    press(page, "Apply")
    expect(help_of(page).get_by_role("status")).to_contain_text("The cell was changed meanwhile.")
    expect_source(notebook, lambda source: "# mine" in source)


def test_a_wish_in_words_changes_a_cell(notebook: JupyterPage, page: Page) -> None:
    page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt").click()
    command(page, "Change this cell")
    field = help_of(page, 1).get_by_label("What should change in this cell?")
    expect(field).to_be_focused()
    page.keyboard.type("Use seven, and " + say("```python\nanswer = 7\nanswer\n```"))
    page.keyboard.press("Enter")
    diff = help_of(page, 1).get_by_role("region", name="Proposed change: 1 line removed, 1 added")
    diff.wait_for(timeout=START)
    help_of(page, 1).get_by_role("button", name="Apply and run").click()
    expect(notebook.output(1)).to_contain_text("7")
    expect_source(notebook, "answer = 7\nanswer".__eq__, 1)
    page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt").click(button="right")
    page.locator("[data-command='genailabs:change-cell']").click()
    expect(field).to_be_focused()
    page.keyboard.type(say("Nothing to do.\n```python\nanswer = 7\nanswer\n```"))
    page.keyboard.press("Enter")
    expect(help_of(page, 1).get_by_role("status")).to_have_text("scripted proposes no change.", timeout=START)
    page.keyboard.press("Escape")
    expect(help_of(page, 1)).to_have_count(0)


def test_an_explanation_is_written_in_the_chat(notebook: JupyterPage, page: Page) -> None:
    press(page, "Explain")
    chat = PanelPage(page)
    chat.expect_state("done")
    expect(chat.prompts).to_contain_text("Explain this error")
    expect(chat.prompts).to_contain_text("@error")
    assert "The name is wrong" in chat.text()
    expect(help_of(page).get_by_role("status")).to_have_text("")


def test_a_request_is_cancelled_and_one_that_fails_says_why(
    notebook: JupyterPage, hub: ScriptedHub, page: Page
) -> None:
    usual, slow = hub.reply, Reply(["data: {}"] * 1000, pause=0.1)
    hub.left.clear()
    hub.requests.clear()
    hub.reply = lambda _: slow
    press(page, "Fix")
    status = help_of(page).get_by_role("status")
    expect(status).to_have_text("scripted is writing …", timeout=START)
    wait_until(lambda: hub.requests, 20, "the request has reached the hub")
    page.keyboard.press("Escape")
    expect(status).to_have_text("")
    assert hub.left.wait(20), "the hub goes on writing"
    error = {"message": "Budget has been exceeded!", "type": "budget_exceeded", "code": "400"}
    hub.reply = lambda _: Reply(refusal=(400, {"error": error}))
    press(page, "Fix")
    expect(status).to_contain_text("budget", timeout=START)
    hub.reply = usual
    hub.models = ()
    press(page, "Fix")
    help_of(page).get_by_role("region").wait_for(timeout=START)
    hub.models = ("scripted",)
