"""The chat in JupyterLab: what takes a real notebook, a real kernel or a real model to be seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PANEL, PATIENCE, PanelPage
from tests.doubles.scripted_model import scripted_model
from tests.support.lab import TWIN
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines

pytestmark = [pytest.mark.lab, pytest.mark.ui]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "chat.ipynb"
VISIT = '''
import tempfile
import pandas as pd
from widgets import ChatPanel

def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {{city}}."

frogs = pd.DataFrame({{"colour": ["green", "blue"], "weight_g": [21.5, 4.25]}})
folder = tempfile.TemporaryDirectory()  # of its own: a panel begins with the model of the last one
panel = ChatPanel(tools=[weather], base_url={url!r}, api_key="sk-test-key", folder=folder.name)
panel
'''
CALL = 'call weather {"city": "Bergen"}'
FROZEN_S = 8
FREEZE = f"setTimeout(() => {{ const end = Date.now() + {FROZEN_S * 1000}; while (Date.now() < end); }})"
PARAGRAPH = "word " * 800 + "\n\n"
Eventually = Callable[..., None]


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_model() as running:
        yield running


def cell(hub: ScriptedHub) -> str:
    return f"from widgets import ChatPanel\nChatPanel(base_url={hub.url!r}, api_key='sk-test-key')"


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name, exact=True)


def test_the_notebook_runs_and_its_panel_streams_an_answer(jupyter_page: JupyterPage, eventually: Eventually) -> None:
    jupyter_page.open_file(NOTEBOOK).run_all()
    panel = PanelPage(jupyter_page.page).connected()
    expect(jupyter_page.output(1)).to_contain_text("Usage(", timeout=PATIENCE)
    button(panel.root, "Settings").click()
    panel.root.get_by_label("Longest answer in tokens").fill("60")
    panel.root.get_by_label("Longest answer in tokens").press("Tab")
    panel.ask("Write a long story about a ship in a storm.")
    lengths: set[int] = set()

    def done() -> bool:
        lengths.add(len(panel.text()))
        return panel.answers.last.get_attribute("data-state") == "done"

    eventually(done, "the answer did not end", timeout=120)
    assert len(lengths) > 3, "the text did not grow piece by piece"
    for figure in ("first token", "tokens/s", "60 out", "$0.0"):
        expect(panel.answers.last.locator(".lab-chat-foot")).to_contain_text(figure)


def test_all_that_views_may_ask_for_reaches_the_kernel(
    jupyter_page: JupyterPage, hub: ScriptedHub, tmp_path: Path
) -> None:
    hub.models = ["scripted", "other"]
    jupyter_page.open(VISIT.format(url=hub.url)).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    root = panel.root
    hub.models = ["scripted", "other", "new"]
    button(root, "Refresh models and connection").click()
    models = root.get_by_label("Model", exact=True).locator("option")
    expect(models).to_have_text(["scripted", "other", "new"])

    # A variable goes along as the preview shows it.
    panel.prompt.press_sequentially("Describe @fro")
    expect(root.get_by_role("listbox").get_by_role("option").first).to_contain_text("frogs")
    panel.prompt.press("Enter")
    expect(panel.prompt).to_have_value("Describe @frogs ")
    root.get_by_role("button", name="Show exactly what will be sent").click()
    expect(root.get_by_role("region", name="What will be sent")).to_contain_text("weight_g")
    panel.prompt.press("Enter")
    panel.expect_state("done")
    expect(panel.prompts.first).to_contain_text("@frogs")
    assert "weight_g" in hub.requests[-1]["messages"][-1]["content"]

    # JupyterLab's own keys leave the field alone; formulas are drawn by a module that the kernel sends.
    panel.prompt.fill("one")
    panel.prompt.press("Shift+Enter")
    panel.prompt.press_sequentially("$a^2$")
    panel.prompt.press("Enter")
    expect(panel.answers).to_have_count(2)
    panel.expect_state("done")
    assert hub.requests[-1]["messages"][-1]["content"] == "one\n$a^2$"
    expect(root.locator("math")).to_have_count(1)
    expect(jupyter_page.page.locator(PANEL)).to_have_count(1)

    # Answers and prompts have versions.
    panel.choose_model("other")
    button(panel.answers.last, "Answer again").click()
    expect(panel.answers.last.locator(".lab-chat-name")).to_have_text("other")
    panel.expect_state("done")
    button(panel.answers.last, "Previous version").click()
    expect(panel.answers.last.locator(".lab-chat-name")).to_have_text("scripted")
    button(panel.prompts.last, "Edit the prompt and ask again").click()
    root.get_by_label("Edited prompt").fill(CALL)
    button(panel.prompts.last, "Send").click()

    # Tools run when they are allowed, and not when they are denied.
    expect(panel.calls.last).to_have_attribute("data-state", "asking", timeout=PATIENCE)
    button(panel.calls.last, "Allow").click()
    panel.expect_state("done")
    assert "weather answered: It rains in Bergen." in panel.text()
    panel.ask(CALL)
    expect(panel.calls).to_have_count(2)
    button(panel.calls.last, "Deny").click()
    panel.expect_state("done")
    expect(panel.calls.last).to_have_attribute("data-state", "denied")
    assert "It rains" not in panel.text()
    button(panel.prompts.last, "Delete the prompt").click()
    button(root, "Delete").click()
    expect(panel.answers).to_have_count(2)

    # Conversations are kept.
    button(root, "New conversation").first.click()
    expect(panel.answers).to_have_count(0)
    button(root, "Conversations").click()
    root.get_by_label("Search conversations").fill("bergen")
    kept = root.locator(".lab-chat-conversations li")
    expect(kept).to_have_count(1)
    kept.get_by_role("button", name="Rename").click()
    root.get_by_label("New title").fill("Weather")
    root.get_by_label("New title").press("Enter")
    kept.get_by_role("button", name="Export Weather").click()
    with jupyter_page.page.expect_download() as download:
        button(root, "JSON").click()
    file = tmp_path / "weather.json"
    download.value.save_as(file)
    assert json.loads(file.read_text())["title"] == "Weather"
    kept.get_by_role("button", name="Remove Weather").click()
    button(root, "Remove").click()
    expect(root.get_by_text("Nothing found.")).to_be_visible()
    root.get_by_label("File to import").set_input_files(file)
    expect(panel.answers).to_have_count(2)
    expect(panel.title).to_have_text("Weather")


def test_an_awaited_answer_streams_into_the_panel_and_is_in_the_history(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(
        "from widgets import ChatPanel\npanel = ChatPanel(model='smollm2', max_tokens=20)\npanel",
        "answer = await panel.ask('Say hello.')\nprint('said', len(answer.text) > 0, answer.state)\npanel.history",
    ).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text("said True done", timeout=PATIENCE)
    panel.expect_state("done")
    for text in ("Say hello.", "smollm2", "done"):
        expect(jupyter_page.output(1).locator("table")).to_contain_text(text)


def test_a_cell_is_a_prompt_and_two_models_answer_side_by_side(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(
        f"%load_ext widgets\nfrom widgets import ComparePanel\nComparePanel(['smollm2', {TWIN!r}], max_tokens=10)",
        f"%%chat -m {TWIN} -n 20 --to said\nSay hello.",
        "print(len(said) > 0, type(said).__name__)\n%chat",
    ).run_cell(0)
    comparison = PanelPage(jupyter_page.page).connected()
    comparison.ask("Name three colours.")
    for number in range(2):
        comparison.expect_state("done", number)
    expect(comparison.root.locator(".lab-chat-name")).to_have_text(["Answer A", "Answer B"])
    comparison.root.get_by_role("button", name="No difference").click()
    for name in ("smollm2", TWIN):
        expect(comparison.answers.filter(has=comparison.root.page.get_by_text(name, exact=True))).to_contain_text(
            "tokens/s"
        )
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text(f"{TWIN} ·", timeout=PATIENCE)
    expect(jupyter_page.output(1)).to_contain_text("tokens/s")
    jupyter_page.run_cell(2)
    expect(jupyter_page.output(2)).to_contain_text("True str")
    expect(PanelPage(jupyter_page.page, 1).answers).to_have_count(1)


def test_an_answer_streams_on_and_stops_while_a_cell_blocks_the_kernel(
    jupyter_page: JupyterPage, hub: ScriptedHub, eventually: Eventually
) -> None:
    jupyter_page.open(cell(hub), "import threading\nthreading.Event().wait(600)").run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("slow 2000 0.05")
    jupyter_page.run_cell(1)
    before = len(panel.text())
    eventually(lambda: len(panel.text()) > before + 100, "the answer does not stream while the cell runs")
    panel.prompt.press("Escape")
    assert hub.left.wait(5), "Stop does not reach the model server"
    panel.expect_state("stopped")
    blocked = jupyter_page.page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt")
    expect(blocked).to_have_text("[*]:")


def test_a_frozen_tab_does_not_slow_the_model(
    jupyter_page: JupyterPage, hub: ScriptedHub, eventually: Eventually
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def lines() -> Iterator[str]:
        yield from answer_lines([PARAGRAPH] * 3)[:3]
        begun.set()
        *most, last = answer_lines([PARAGRAPH] * 150)
        yield from most
        ended.set()  # a caller leaves when it has the last line
        yield last

    hub.reply = lambda body: Reply(lines(), pause=0.01)
    jupyter_page.open(cell(hub)).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("Go on.")
    assert begun.wait(20)
    jupyter_page.page.evaluate(FREEZE)
    assert ended.wait(FROZEN_S), "the model waits for the browser"
    panel.expect_state("done")
    # A long answer is drawn in short tasks, which go on after its end is known.
    eventually(lambda: panel.text().count("word") == 153 * 800, "a part of the answer is not drawn")
