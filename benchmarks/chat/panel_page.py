"""Where things are on the panel's page: the one place to change when its front end changes."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

PANEL = "section.lab-chat"
ANSWER_TEXT = ".lab-chat-answer .lab-chat-text"
ANSWER_DONE = ".lab-chat-answer[data-state='done']"
PROMPT = "Prompt"
CONNECTED = ".lab-chat-status:has-text('Connected')"


def panel(page: Page) -> Locator:
    """The panel, once it is there and connected."""
    found = page.locator(PANEL).first
    found.locator(CONNECTED).wait_for(timeout=60_000)
    return found


def ask(page: Page, text: str) -> None:
    """Type a prompt and send it."""
    field = page.locator(PANEL).first.get_by_label(PROMPT, exact=True)
    field.fill(text)
    field.press("Enter")
