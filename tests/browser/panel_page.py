"""Where things are in a chat panel: the one place to change when its front end changes."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

PANEL = "section.lab-chat"
ANSWER = ".lab-chat-answer"
ANSWER_TEXT = ".lab-chat-answer .lab-chat-text"
CONNECTED = ".lab-chat-status:has-text('Connected'):not(:has-text('Not connected'))"  # both in any case
PATIENCE = 120_000.0  # ms: a real model on a busy machine


class PanelPage:
    """A chat panel on a page."""

    def __init__(self, page: Page, number: int = 0) -> None:
        self.root = page.locator(PANEL).nth(number)

    def connected(self) -> PanelPage:
        """Wait until the panel has found its hub."""
        self.root.locator(CONNECTED).wait_for(timeout=PATIENCE)
        return self

    @property
    def prompt(self) -> Locator:
        """The field that prompts are written in."""
        return self.root.get_by_label("Prompt", exact=True)

    @property
    def answers(self) -> Locator:
        """The answers on screen."""
        return self.root.locator(ANSWER)

    @property
    def prompts(self) -> Locator:
        """The prompts on screen."""
        return self.root.locator(".lab-chat-prompt")

    @property
    def calls(self) -> Locator:
        """The tool calls on screen."""
        return self.root.locator(".lab-chat-call")

    @property
    def title(self) -> Locator:
        """Title of the conversation."""
        return self.root.locator(".lab-chat-title")

    def choose_model(self, name: str) -> None:
        """Choose a model from the drop-down list."""
        self.root.get_by_label("Model", exact=True).select_option(name)

    @property
    def stop(self) -> Locator:
        """The button that ends an answer."""
        return self.root.get_by_role("button", name="Stop")

    @property
    def silent(self) -> Locator:
        """What is said while the kernel does not answer."""
        return self.root.locator(".lab-chat-silent")

    def ask(self, text: str) -> None:
        """Type a prompt and send it."""
        self.prompt.fill(text)
        self.prompt.press("Enter")

    def text(self, number: int = -1) -> str:
        """The text of an answer as it is, by default the last one; empty while there is none."""
        texts = self.root.locator(ANSWER_TEXT).all_text_contents()
        return texts[number] if texts else ""

    def expect_state(self, state: str, number: int = -1, timeout: float = PATIENCE) -> None:
        """Wait for an answer, by default the last one, to get into a state."""
        expect(self.answers.nth(number)).to_have_attribute("data-state", re.compile(state), timeout=timeout)
