"""Conversations with the lab's hub and real model: versions of answers and prompts, kept ones, variables as context."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PanelPage
from tests.support.lab import TWIN

pytestmark = [pytest.mark.lab, pytest.mark.ui]

CELL = "from widgets import ChatPanel\npanel = ChatPanel(model='smollm2', max_tokens=12, temperature=1)\npanel"
FRAME = "import pandas as pd\nfrogs = pd.DataFrame({'colour': ['green', 'blue'], 'weight_g': [21.5, 4.25]})"


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name, exact=True)


def test_answers_and_prompts_have_versions_that_can_be_switched(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(CELL).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("Say hello.")
    panel.expect_state("done")
    first = panel.text()
    panel.choose_model(TWIN)
    button(panel.answers.first, "Answer again").click()
    expect(panel.answers.first.locator(".lab-chat-name")).to_have_text(TWIN)
    panel.expect_state("done")
    button(panel.answers.first, "Previous version").click()
    expect(panel.answers.first.locator(".lab-chat-name")).to_have_text("smollm2")
    assert panel.text() == first
    button(panel.prompts.first, "Edit the prompt and ask again").click()
    panel.root.get_by_label("Edited prompt").fill("Say goodbye.")
    button(panel.prompts.first, "Send").click()
    expect(panel.prompts.first).to_contain_text("Say goodbye.")
    panel.expect_state("done")
    button(panel.prompts.first, "Previous version").click()
    expect(panel.prompts.first).to_contain_text("Say hello.")
    expect(panel.answers).to_have_count(1)
    button(panel.prompts.first, "Delete the prompt").click()
    button(panel.root, "Delete").click()
    expect(panel.prompts.first).to_contain_text("Say goodbye.")


def test_kept_conversations_are_found_renamed_exported_and_imported(jupyter_page: JupyterPage, tmp_path: Path) -> None:
    jupyter_page.open(CELL, "panel.clear()").run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("Tell me about axolotls.")
    panel.expect_state("done")
    said = panel.text()
    button(panel.root, "New conversation").first.click()
    expect(panel.answers).to_have_count(0)
    button(panel.root, "Conversations").click()
    panel.root.get_by_label("Search conversations").fill("axolotls")
    kept = panel.root.locator(".lab-chat-conversations li")
    expect(kept.first).to_contain_text("axolotls")
    kept.first.get_by_role("button", name="Rename").click()
    panel.root.get_by_label("New title").fill("Salamanders")
    panel.root.get_by_label("New title").press("Enter")
    expect(kept.first).to_contain_text("Salamanders")
    kept.first.get_by_role("button", name="Export Salamanders").click()
    with jupyter_page.page.expect_download() as download:
        button(panel.root, "JSON").click()
    file = tmp_path / "salamanders.json"
    download.value.save_as(file)
    assert json.loads(file.read_text())["title"] == "Salamanders"
    kept.first.get_by_role("button", name="Remove Salamanders").click()
    button(panel.root, "Remove").click()
    expect(panel.root.get_by_text("Nothing found.")).to_be_visible()
    panel.root.get_by_label("File to import").set_input_files(file)
    expect(panel.answers).to_have_count(1)
    expect(panel.title).to_have_text("Salamanders")
    assert panel.text() == said


def test_a_data_frame_goes_along_as_the_preview_shows_it(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(CELL, FRAME).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    jupyter_page.run_cell(1)
    panel.prompt.press_sequentially("Describe @fro")
    expect(panel.root.get_by_role("listbox").get_by_role("option").first).to_contain_text("frogs")
    panel.prompt.press("Enter")
    expect(panel.prompt).to_have_value("Describe @frogs ")
    panel.root.get_by_role("button", name="Show exactly what will be sent").click()
    preview = panel.root.get_by_role("region", name="What will be sent")
    for text in ("frogs", "colour", "weight_g", "21.5", "tokens", "$"):
        expect(preview).to_contain_text(text)
    panel.prompt.press("Enter")
    panel.expect_state("done")
    expect(panel.prompts.first).to_contain_text("@frogs")
