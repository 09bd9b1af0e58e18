"""The chat from a notebook's code: awaited answers, the history, the cell magic, functions as tools."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PATIENCE, PanelPage
from tests.support.gateway import Gateway
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = [pytest.mark.lab, pytest.mark.ui]

WEATHER = '''
from widgets import ChatPanel

def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {city}."

panel = ChatPanel(tools=[weather], model="scripted", base_url=%r, api_key=%r)
panel
'''
CALL = 'call weather {"city": "Bergen"}'


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


def test_the_cell_magic_answers_in_the_output_and_shares_its_conversation(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(
        "%load_ext widgets",
        "%%chat -m smollm2-twin -n 20 --to said\nSay hello.",
        "print(len(said) > 0, type(said).__name__)\n%chat",
    ).run_cell(0)
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text("smollm2-twin ·", timeout=PATIENCE)
    expect(jupyter_page.output(1)).to_contain_text("tokens/s")
    jupyter_page.run_cell(2)
    expect(jupyter_page.output(2)).to_contain_text("True str")
    expect(PanelPage(jupyter_page.page).answers).to_have_count(1)


def test_a_tool_runs_when_it_is_allowed_and_not_when_it_is_denied(
    jupyter_page: JupyterPage, scripted_gateway: tuple[Gateway, ScriptedHub]
) -> None:
    gateway, model = scripted_gateway
    jupyter_page.open(WEATHER % (gateway.url, gateway.key)).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask(CALL)
    call = panel.calls.last
    expect(call).to_have_attribute("data-state", "asking", timeout=PATIENCE)
    expect(call).to_contain_text("Bergen")
    call.get_by_role("button", name="Allow", exact=True).click()
    panel.expect_state("done")
    assert "weather answered: It rains in Bergen." in panel.text()
    [offered] = model.requests[-1]["tools"]
    assert offered["function"]["description"] == "Tell the weather of a city."
    panel.ask(CALL)
    expect(panel.calls).to_have_count(2)
    call.get_by_role("button", name="Deny", exact=True).click()
    panel.expect_state("done")
    expect(panel.calls.last).to_have_attribute("data-state", "denied")
    assert "weather answered:" in panel.text()
    assert "It rains" not in panel.text()
