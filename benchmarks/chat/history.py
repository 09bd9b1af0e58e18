"""A long conversation in the panel: how long it takes to open, and what a further answer costs."""

from __future__ import annotations

from playwright.sync_api import Browser, Page

from benchmarks.chat.answer import reply_mark
from benchmarks.chat.chats import PanelChat
from benchmarks.chat.measure import Run, opened
from benchmarks.processes import Server

SAID = """
from widgets import ChatPanel

panel = ChatPanel(model="stub-a")
for number in range({prompts}):
    await panel.ask(f"reply-{{number}}")
conversation, said = panel.conversation, len(panel.messages)
panel.close()
said
"""
OPENED = "panel = ChatPanel(conversation=conversation)\npanel"
PATIENCE_MS = 120_000.0


class LongConversation(PanelChat):
    """The panel with a saved conversation of so many messages, opened in a panel of its own."""

    def __init__(self, server: Server, messages: int) -> None:
        super().__init__(server)
        self.prompts = messages // 2
        self.cells = (SAID.format(prompts=self.prompts), OPENED)
        self.open_s = 0.0

    def open(self, page: Page) -> None:
        self._notebook = self._new_notebook(page)
        self._notebook.run_cell(0)
        said = self._notebook.output(0).get_by_text(str(self.prompts * 2), exact=True)
        said.wait_for(timeout=PATIENCE_MS)
        mark = reply_mark(self.prompts - 1)
        page.evaluate("(values) => chatProbe.start(...values)", [self.selector, mark, mark])
        self._notebook.run_cell(1)
        page.wait_for_function("chatProbe.lastSeen", timeout=PATIENCE_MS)
        self.open_s = page.evaluate("(chatProbe.lastSeen - chatProbe.started) / 1000")
        # What opening left would be collected in the middle of some answers and not of others.
        page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")


def after_history(browser: Browser, panel: PanelChat, stub: Server, messages: int) -> tuple[float, Run]:
    """Return the seconds from running the cell to the last message, and what the next answer takes."""
    chat = LongConversation(panel.server, messages)
    with opened(browser, chat, stub) as tab:
        return chat.open_s, tab.answer("shortwork")
