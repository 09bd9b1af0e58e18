"""One prompt to the real model under both of its names, side by side."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter_page import SECONDS, JupyterPage
from tests.browser.panel_page import PATIENCE, PanelPage
from tests.support.lab import TWIN

pytestmark = [pytest.mark.lab, pytest.mark.ui]


def test_two_models_answer_side_by_side_and_the_vote_is_kept(jupyter_page: JupyterPage) -> None:
    jupyter_page.open(
        f"from widgets import ComparePanel\nComparePanel(chosen=['smollm2', {TWIN!r}], max_tokens=30)",
        "ComparePanel.votes().tail(1)",
    ).run_cell(0)
    panel = PanelPage(jupyter_page.page).connected()
    panel.ask("Name three colours.")
    for number, name in enumerate(("smollm2", TWIN)):
        panel.expect_state("done", number)
        answer = panel.answers.nth(number)
        expect(answer.locator(".lab-chat-name")).to_have_text(name)
        expect(answer).to_contain_text("tokens/s")
    left, right = (panel.answers.nth(number).bounding_box() for number in (0, 1))
    assert left
    assert right
    assert left["y"] == pytest.approx(right["y"], abs=2)
    assert right["x"] >= left["x"] + left["width"]
    panel.root.get_by_role("button", name=TWIN, exact=True).click()
    expect(panel.root).to_contain_text(f"You chose {TWIN}.", timeout=PATIENCE)
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text(TWIN, timeout=20 * SECONDS)
