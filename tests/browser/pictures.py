"""Take the documentation's pictures from a running lab, with real conversations.

python -m tests.browser.pictures --jupyter http://127.0.0.1:8888 --token TOKEN [NAME …]

The lab must serve its default model and another one; the picture of an answer that is cut takes a scripted one.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Locator, Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.jupyter_page import JupyterPage
from tests.browser.panel_page import PATIENCE, PanelPage
from tests.doubles.scripted_model import scripted_model

FOLDER = Path(__file__).parents[2] / "notebooks" / "images"
PANEL = "from widgets import ChatPanel\n\npanel = ChatPanel(temperature=0, max_tokens=160)\npanel"
FROGS = (
    "import pandas as pd\n\nfrogs = pd.DataFrame(\n"
    '    {"species": ["tree frog", "marsh frog", "fire-bellied toad"],\n'
    '     "length_mm": [45, 110, 50], "weight_g": [7.0, 90.5, 9.2]}\n)'
)
HELLO = "Write a short Python function that says hello."
SIZE: ViewportSize = {"width": 1000, "height": 1100}
SIZES: dict[str, ViewportSize] = {"usage-dashboard": {"width": 1300, "height": 1480}}
MARGIN = 3  # pixels around what is shown


@dataclass
class Studio:
    """What a picture is taken of.

    Attributes:
        page: The browser's page.
        notebook: The notebook on it.
        log: Address of the log that the dashboard shows; empty for the lab's own.
    """

    page: Page
    notebook: JupyterPage
    log: str = ""

    def panel(self, *cells: str) -> PanelPage:
        """Open a notebook, run its first cell and wait for its panel."""
        self.notebook.open(*cells).run_cell(0)
        self.page.keyboard.press("Control+b")  # the file browser takes room
        return PanelPage(self.page).connected()

    def say(self, panel: PanelPage, prompt: str) -> None:
        """Have an answer."""
        before = panel.answers.count()
        panel.ask(prompt)
        expect(panel.answers).to_have_count(before + 1)
        panel.expect_state("done")


Scene = Callable[[Studio], Locator | tuple[Locator, Locator]]


def answer(studio: Studio) -> Locator:
    panel = studio.panel(PANEL)
    studio.say(panel, HELLO)
    return panel.root


def versions(studio: Studio) -> Locator:
    panel = studio.panel(PANEL.replace("temperature=0", "temperature=1").replace("160", "40"))
    studio.say(panel, "Name three colours of the sea.")
    panel.answers.first.get_by_role("button", name="Answer again").click()
    expect(panel.answers.first.get_by_text("2/2")).to_be_visible(timeout=PATIENCE)
    panel.expect_state("done")
    panel.answers.first.hover()
    return panel.root


def cell(studio: Studio) -> tuple[Locator, Locator]:
    panel = studio.panel(PANEL)
    studio.say(panel, HELLO)
    panel.answers.last.get_by_role("button", name="Insert into a new cell and run it").first.click()
    new = studio.page.locator(".jp-CodeCell").nth(1)
    expect(new.locator(".jp-InputPrompt")).to_have_text("[2]:")
    return panel.root, new


def context(studio: Studio) -> Locator:
    panel = studio.panel(PANEL, FROGS)
    studio.notebook.run_cell(1)
    panel.prompt.press_sequentially("Which is the heaviest? @fro")
    expect(panel.root.get_by_role("listbox").get_by_role("option").first).to_contain_text("frogs")
    panel.prompt.press("Enter")
    panel.root.get_by_role("button", name="Show exactly what will be sent").click()
    expect(panel.root.get_by_role("region", name="What will be sent")).to_contain_text("weight_g")
    return panel.root


def tools(studio: Studio) -> Locator:
    panel = studio.panel(
        "from widgets import ChatPanel\n\ndef weight(species: str) -> float:\n"
        '    """Tell how much a frog weighs, in grams."""\n    return 90.5\n\n'
        "ChatPanel(tools=[weight], temperature=0)"
    )
    panel.ask("How heavy is a marsh frog?")
    expect(panel.calls.last.get_by_role("button", name="Allow", exact=True)).to_be_visible(timeout=PATIENCE)
    return panel.root


def conversations(studio: Studio) -> Locator:
    panel = studio.panel(PANEL.replace("160", "30"))
    for prompt in ("What is a marsh frog?", "Write a haiku about rain.", HELLO):
        panel.root.get_by_role("button", name="New conversation").first.click()
        expect(panel.answers).to_have_count(0)
        studio.say(panel, prompt)
    panel.root.get_by_role("button", name="Conversations").click()
    expect(panel.root.locator(".lab-chat-conversations li").nth(2)).to_be_visible()
    panel.root.locator(".lab-chat-conversations li").first.hover()
    return panel.root


def magic(studio: Studio) -> tuple[Locator, Locator]:
    studio.notebook.open(
        "%load_ext widgets",
        FROGS,
        "%%chat --attach frogs -n 60\n"
        "Name the heaviest frog of this table and its weight, in one sentence, without code.",
    )
    studio.page.keyboard.press("Control+b")
    for number in range(3):
        studio.notebook.run_cell(number)
    expect(studio.notebook.output(2)).to_contain_text("tokens/s", timeout=PATIENCE)
    return studio.page.locator(".jp-CodeCell").nth(2), studio.notebook.output(2)


def compare(studio: Studio) -> Locator:
    panel = studio.panel("from widgets import ComparePanel\n\nComparePanel(max_tokens=60)")
    panel.ask("Why is the sea blue? One sentence.")
    expect(panel.answers).to_have_count(2)
    for number in (0, 1):
        panel.expect_state("done", number)
    panel.root.get_by_role("button", name="Answer A").click()
    return panel.root


def cut(studio: Studio) -> Locator:
    with scripted_model() as model:
        panel = studio.panel(
            f"from widgets import ChatPanel\n\nChatPanel(base_url={model.url!r}, api_key='sk-scripted')"
        )
        panel.ask("die")
        panel.expect_state("cut")
        return panel.root


def window(studio: Studio) -> Locator:
    panel = studio.panel(PANEL)
    studio.say(panel, "What is a large language model? Answer in one sentence.")
    studio.say(panel, HELLO)
    return studio.page.locator("#main")  # the body itself has no height


def dashboard(studio: Studio) -> tuple[Locator, Locator]:
    studio.notebook.open("from widgets import UsageDashboard", f"UsageDashboard(database={studio.log!r} or None)")
    studio.page.keyboard.press("Control+b")
    for number in (0, 1):
        studio.notebook.run_cell(number)
    shown = studio.page.locator(".lab-usage")
    expect(shown.locator(".lab-usage-state")).to_contain_text("As of")
    expect(shown).not_to_have_class(re.compile("lab-usage-busy"))
    expect(shown.locator("svg.marks")).to_have_count(5)
    return shown.locator(".lab-usage-bar"), shown.locator(".lab-usage-grid")


SCENES: dict[str, Scene] = {
    "chat-panel": window,
    "guide-answer": answer,
    "guide-versions": versions,
    "guide-cell": cell,
    "guide-context": context,
    "guide-tools": tools,
    "guide-conversations": conversations,
    "guide-magic": magic,
    "guide-compare": compare,
    "guide-cut": cut,
    "usage-dashboard": dashboard,
}


def frame(page: Page, parts: tuple[Locator, ...]) -> FloatRect:
    """The rectangle of the page that holds all parts."""
    boxes = [box for box in (part.bounding_box() for part in parts) if box]
    left, top = (min(box[side] for box in boxes) - MARGIN for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    size = page.viewport_size
    assert size
    left, top = max(0, left), max(0, top)
    return {"x": left, "y": top, "width": min(right, size["width"]) - left, "height": min(bottom, size["height"]) - top}


def take(browser: Browser, arguments: argparse.Namespace, name: str, target: Path) -> None:
    """Act one scene in a new notebook and save its picture."""
    context = browser.new_context(viewport=SIZES.get(name, SIZE), device_scale_factor=1.5)
    page = context.new_page()
    notebook = JupyterPage(page, arguments.jupyter, arguments.token, name=f"{name}.ipynb")
    try:
        shown = SCENES[name](Studio(page, notebook, arguments.log))
        parts = shown if isinstance(shown, tuple) else (shown,)
        parts[0].scroll_into_view_if_needed()
        page.screenshot(path=target, clip=frame(page, parts))
        print(target)
    finally:
        notebook.remove()
        context.close()


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jupyter", required=True, help="address of JupyterLab")
    parser.add_argument("--token", required=True, help="its token")
    parser.add_argument("--log", default="", help="log that the dashboard shows (default: the lab's own)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where pictures go (default: %(default)s)")
    parser.add_argument("names", nargs="*", choices=[[], *SCENES], help="which ones (default: all)")
    arguments = parser.parse_args()
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in arguments.names or SCENES:
            take(browser, arguments, name, arguments.folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
