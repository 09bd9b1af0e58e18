"""Take the picture of the chat panel for the documentation, from a running lab with a real conversation.

python -m tests.browser.screenshot --jupyter http://127.0.0.1:8888 --token TOKEN
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, SECONDS, JupyterPage

PICTURE = Path(__file__).parents[2] / "notebooks" / "images" / "chat-panel.png"
CELL = "from widgets import ChatPanel\n\npanel = ChatPanel(temperature=0)\npanel"
PROMPTS = (
    "What is a large language model? Answer in one sentence.",
    "Write a short Python function that says hello.",
)


def take(jupyter: str, token: str, picture: Path, theme: str) -> None:
    """Hold a conversation in a new notebook and save the picture of the browser window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        # Twice the pixels: the picture stays sharp on every screen.
        page = browser.new_page(viewport={"width": 1200, "height": 800}, device_scale_factor=2)
        notebook = JupyterPage(page, jupyter, token, name="chat-demo.ipynb")
        try:
            notebook.open(CELL).run_cell(0)
            page.locator(".lm-MenuBar-itemLabel", has_text="Settings").click()
            page.locator(".lm-Menu-itemLabel", has_text="Theme").first.click()
            page.locator(".lm-Menu-itemLabel", has_text=theme).first.click()
            panel = notebook.panel()
            expect(panel.locator(".lab-chat-status")).to_contain_text("Connected")
            for number, prompt in enumerate(PROMPTS, 1):
                field = panel.get_by_label("Prompt", exact=True)
                field.fill(prompt)
                field.press("Enter")
                expect(panel.locator(".lab-chat-answer[data-state='done']")).to_have_count(
                    number, timeout=180 * SECONDS
                )
            page.locator(".jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Control+b")
            news = page.get_by_role("button", name="No", exact=True)
            if news.is_visible():
                news.click()
                news.wait_for(state="hidden")
            panel.locator(".lab-chat-log").evaluate("(log) => { log.scrollTop = log.scrollHeight; }")
            picture.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=picture)
        finally:
            notebook.remove()
            browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jupyter", required=True, help="address of JupyterLab")
    parser.add_argument("--token", required=True, help="its token")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file to write (default: %(default)s)")
    parser.add_argument("--theme", default="JupyterLab Light", help="theme to choose first (default: %(default)s)")
    arguments = parser.parse_args()
    take(arguments.jupyter, arguments.token, arguments.picture, arguments.theme)
