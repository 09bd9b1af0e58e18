"""The chat panel in JupyterLab: with the lab's hub, and with a scripted one where the answer must be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import SECONDS, JupyterPage
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk, scripted_hub

pytestmark = [pytest.mark.lab, pytest.mark.ui]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "chat.ipynb"
PATIENT = 120 * SECONDS  # a model on a busy machine
STORY = "Write a long story about a ship in a storm."
Eventually = Callable[..., None]


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_hub() as running:
        yield running


def cell(hub: ScriptedHub) -> str:
    # A folder of its own: a panel remembers the model of the last one.
    options = f"base_url={hub.url!r}, api_key='sk-test-key', folder=folder.name"
    lines = ["import tempfile", "from widgets import ChatPanel", "folder = tempfile.TemporaryDirectory()"]
    return "\n".join([*lines, f"panel = ChatPanel({options})", "panel"])


def ask(panel: Locator, text: str) -> None:
    field = panel.get_by_label("Prompt", exact=True)
    field.fill(text)
    field.press("Enter")


def answer(panel: Locator) -> Locator:
    return panel.locator(".lab-chat-answer").last


def shown(panel: Locator) -> str:
    """Return the text of the last answer, empty while there is none; not as rendered, which lags a frame behind."""
    texts = panel.locator(".lab-chat-answer .lab-chat-body").all_text_contents()
    return texts[-1].strip() if texts else ""


def expect_connected(panel: Locator) -> None:
    expect(panel.locator(".lab-chat-status")).to_contain_text("Connected", timeout=30 * SECONDS)


def limit(panel: Locator, tokens: int) -> None:
    field = panel.get_by_label("Longest answer in tokens")
    if not field.is_visible():
        panel.get_by_role("button", name="Settings").click()
    field.fill(str(tokens))
    field.press("Tab")


def test_the_notebook_runs_and_its_panel_streams_an_answer(jupyter_page: JupyterPage, eventually: Eventually) -> None:
    jupyter_page.open_file(NOTEBOOK).run_all()
    panel = jupyter_page.panel()
    expect_connected(panel)
    expect(jupyter_page.output(1)).to_contain_text("Usage(", timeout=PATIENT)
    limit(panel, 60)
    ask(panel, STORY)
    lengths: set[int] = set()

    def done() -> bool:
        lengths.add(len(shown(panel)))
        return answer(panel).get_attribute("data-state") == "done"

    eventually(done, "the answer did not end", timeout=120)
    assert len(lengths) > 3, "the text did not grow piece by piece"
    foot = answer(panel).locator(".lab-chat-foot")
    for figure in ("first token", "tokens/s", "60 out", "$0.0"):
        expect(foot).to_contain_text(figure)


def test_tables_lists_code_and_formulas_are_drawn(jupyter_page: JupyterPage, hub: ScriptedHub) -> None:
    text = (
        "| planet | moons |\n|---|--:|\n| Mars | 2 |\n\n1. one\n   - inner\n     - innermost\n\n"
        "```python\ndef moons():\n    return 2\n```\n\nInline $a^2$ and\n\n$$\\int_0^1 x\\,dx = \\frac{1}{2}$$\n"
    )
    hub.reply = lambda body: Reply(answer_lines([text[start : start + 7] for start in range(0, len(text), 7)]))
    jupyter_page.open(cell(hub)).run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    ask(panel, "Show all you can.")
    shown_answer = answer(panel)
    expect(shown_answer.get_by_role("cell", name="2", exact=True)).to_be_visible()
    expect(shown_answer.locator("ol ul ul")).to_contain_text("innermost")
    expect(shown_answer.locator("pre span[class*=hl]").first).to_be_visible()
    expect(shown_answer.locator("math, .katex")).not_to_have_count(0)
    expect(shown_answer.locator("mfrac, .mfrac").first).to_be_attached()


def test_stop_ends_the_answer_and_leaves_the_panel_usable(jupyter_page: JupyterPage, eventually: Eventually) -> None:
    jupyter_page.open("from widgets import ChatPanel\npanel = ChatPanel(temperature=1)\npanel").run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    ask(panel, STORY)
    eventually(lambda: len(shown(panel)) > 40, "no text came", timeout=120)
    panel.get_by_role("button", name="Stop").click()
    expect(answer(panel)).to_have_attribute("data-state", "stopped", timeout=5 * SECONDS)
    expect(answer(panel).locator(".lab-chat-foot")).to_contain_text("Stopped")
    kept = shown(panel)
    assert len(kept) > 40
    limit(panel, 5)
    ask(panel, "Say hi.")
    expect(panel.locator(".lab-chat-answer")).to_have_count(2)
    expect(answer(panel)).to_have_attribute("data-state", "done", timeout=PATIENT)
    stopped = panel.locator(".lab-chat-answer .lab-chat-body").first
    assert (stopped.text_content() or "").strip() == kept, "the stopped answer grew on"


def test_a_wrong_key_shows_the_remedy_and_keeps_the_prompt(jupyter_page: JupyterPage) -> None:
    jupyter_page.open("from widgets import ChatPanel\nChatPanel(api_key='sk-wrong-key')").run_cell(0)
    panel = jupyter_page.panel()
    banner = panel.locator(".lab-chat-banner[role=alert]")
    expect(banner).to_contain_text("does not know this key", timeout=30 * SECONDS)
    expect(banner).to_contain_text("LITELLM_API_KEY")
    ask(panel, "Hello?")
    expect(answer(panel).locator(".lab-chat-fault")).to_contain_text("LITELLM_API_KEY")
    expect(panel.locator(".lab-chat-prompt")).to_contain_text("Hello?")
    expect(panel.get_by_role("button", name="Edit the prompt and ask again")).to_have_count(1)
    expect(panel.get_by_role("button", name="Answer again")).to_have_count(1)


def test_a_model_that_is_switched_gets_the_next_prompt(jupyter_page: JupyterPage, hub: ScriptedHub) -> None:
    hub.models = ["first", "second"]
    jupyter_page.open(cell(hub)).run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    ask(panel, "To the first.")
    expect(answer(panel)).to_have_attribute("data-state", "done")
    panel.get_by_label("Model", exact=True).select_option("second")
    ask(panel, "To the second.")
    expect(panel.locator(".lab-chat-answer")).to_have_count(2)
    expect(answer(panel)).to_have_attribute("data-state", "done")
    assert [body["model"] for body in hub.requests] == ["first", "second"]
    assert [name.strip() for name in panel.locator(".lab-chat-name").all_text_contents()] == ["first", "second"]


def test_refresh_finds_a_new_model(jupyter_page: JupyterPage, hub: ScriptedHub) -> None:
    jupyter_page.open(cell(hub)).run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    hub.models = ["scripted", "new"]
    panel.get_by_label("Refresh models and connection").click()
    expect(panel.get_by_label("Model", exact=True).locator("option")).to_have_text(["scripted", "new"])


def test_a_busy_kernel_hinders_neither_stream_nor_stop(
    jupyter_page: JupyterPage, hub: ScriptedHub, eventually: Eventually
) -> None:
    hub.reply = lambda body: Reply(answer_lines(["word "] * 2000), pause=0.05)
    jupyter_page.open(cell(hub), "import time\ntime.sleep(60)").run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    jupyter_page.run_cell(1)
    expect(jupyter_page.page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt")).to_have_text("[*]:")
    ask(panel, "Go on.")
    eventually(lambda: len(shown(panel)) > 100, "the answer does not stream while the kernel is busy")
    panel.get_by_label("Prompt", exact=True).press("Escape")
    assert hub.left.wait(5), "the hub still writes"
    expect(answer(panel)).to_have_attribute("data-state", "stopped")
    expect(jupyter_page.page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt")).to_have_text("[*]:")


def test_every_view_shows_the_whole_conversation_also_after_a_reload(
    jupyter_page: JupyterPage, hub: ScriptedHub, eventually: Eventually
) -> None:
    hub.reply = lambda body: Reply([chunk("word ")] * 30 + answer_lines(["end"]), pause=0.1)
    jupyter_page.open(cell(hub), "panel").run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    ask(panel, "Go on.")
    eventually(lambda: len(shown(panel)) > 10, "no text came")
    jupyter_page.run_cell(1)
    second = jupyter_page.panel(1)
    whole = "word " * 30 + "end"
    for view in (panel, second):
        expect(answer(view).locator(".lab-chat-body")).to_have_text(whole, timeout=30 * SECONDS)
        expect(answer(view)).to_have_attribute("data-state", "done")
    page = jupyter_page.page
    page.locator(".jp-NotebookPanel").press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")).to_have_count(0)
    page.reload()
    expect(answer(jupyter_page.panel()).locator(".lab-chat-body")).to_have_text(whole, timeout=60 * SECONDS)


def test_shift_enter_starts_a_line_and_a_new_conversation_is_empty(jupyter_page: JupyterPage, hub: ScriptedHub) -> None:
    jupyter_page.open(cell(hub), "panel.messages").run_cell(0)
    panel = jupyter_page.panel()
    expect_connected(panel)
    field = panel.get_by_label("Prompt", exact=True)
    field.fill("one")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    field.press("Enter")
    expect(answer(panel)).to_have_attribute("data-state", "done")
    assert hub.requests[0]["messages"] == [{"role": "user", "content": "one\ntwo"}]
    expect(jupyter_page.page.locator("section.lab-chat")).to_have_count(1)
    panel.get_by_role("button", name="New conversation").click()
    expect(panel.locator(".lab-chat-entry")).to_have_count(0)
    jupyter_page.run_cell(1)
    expect(jupyter_page.output(1)).to_contain_text("[]")
