"""How each chat is started, opened, asked and read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Page

from benchmarks.chat.environments import BUILD, ROOT, environment
from benchmarks.chat.servers import jupyter, running
from benchmarks.processes import Server
from tests.browser import jupyter_page, panel_page
from tests.browser.conftest import JupyterPage
from tests.support.lab import free_ports

APPS = Path(__file__).parent / "peers"
PATIENCE_MS = 60_000.0
Processes = list[psutil.Process]


class Chat:
    """One chat: a server of its own and a page.

    Attributes:
        name: As the table shows it.
        selector: CSS selector of the elements of which the last one holds the answer.
    """

    name = ""
    selector = ""

    def __init__(self, server: Server) -> None:
        self.server = server

    @classmethod
    @contextmanager
    def start(cls, stub: Server) -> Iterator[Chat]:
        """Run the server for the block."""
        with cls._serve(f"{stub.url}/v1") as server:
            yield cls(server)

    @classmethod
    def _serve(cls, stub_url: str) -> contextmanager:
        raise NotImplementedError

    def open(self, page: Page) -> None:
        """Bring the page to where a prompt can be typed."""
        raise NotImplementedError

    def ask(self, page: Page, prompt: str) -> None:
        """Type a prompt and send it."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing of the page behind on the server."""

    def kernel(self) -> Processes:
        """What runs the chat's own code."""
        return self.server.tree()

    def relay(self) -> Processes:
        """What stands between that code and the browser."""
        return []


class _InNotebook(Chat):
    """A widget in a notebook of JupyterLab."""

    cells: tuple[str, ...] = ()
    ready = ""

    def _new_notebook(self, page: Page) -> JupyterPage:
        return JupyterPage(page, self.server.url, self.server.token).open(*self.cells)

    def open(self, page: Page) -> None:
        self._notebook = self._new_notebook(page)
        for number in range(len(self.cells)):
            self._notebook.run_cell(number)
        page.locator(self.ready).wait_for(timeout=PATIENCE_MS)

    def close(self) -> None:
        self._notebook.remove()

    def kernel(self) -> Processes:
        return self.server.process.children(recursive=True)

    def relay(self) -> Processes:
        return [self.server.process]


class PanelChat(_InNotebook):
    """The chat panel of this project."""

    name = "chat panel"
    selector = panel_page.ANSWER_TEXT
    cells = ("from widgets import ChatPanel\npanel = ChatPanel()\npanel",)
    ready = f"{panel_page.PANEL} {panel_page.CONNECTED}"

    @classmethod
    def _serve(cls, stub_url: str):
        hub = {"LITELLM_BASE_URL": stub_url, "LITELLM_API_KEY": "sk-stub"}
        return jupyter("chat-panel", Path(sys.prefix), PYTHONPATH=str(ROOT), **hub)

    def ask(self, page: Page, prompt: str) -> None:
        panel_page.PanelPage(page).ask(prompt)


class SideChat(PanelChat):
    """The same beside the work: in a view of JupyterLab's, with a kernel of its own, while a notebook is open."""

    cells = ("answer = 42",)

    @classmethod
    def _serve(cls, stub_url: str):
        hub = {"LITELLM_BASE_URL": stub_url, "LITELLM_API_KEY": "sk-stub"}
        extension = f"--LabServerApp.extra_labextensions_path={ROOT / 'widgets/labextension'}"
        return jupyter("side-chat", Path(sys.prefix), extension, PYTHONPATH=str(ROOT), **hub)

    def open(self, page: Page) -> None:
        self._notebook = self._new_notebook(page)
        self._notebook.run_cell(0)
        jupyter_page.open_chat(page)
        page.locator(self.ready).wait_for(timeout=PATIENCE_MS)

    def close(self) -> None:
        self._notebook.end_kernels(jupyter_page.SIDE)
        super().close()


class NaiveIpywidgets(_InNotebook):
    """An HTML widget set to the whole text at every chunk."""

    name = "ipywidgets, naive"
    selector = ".naive-answer"
    cells = ("from naive_ipywidgets import chat\nchat()",)
    ready = ".naive-send"

    @classmethod
    def _serve(cls, stub_url: str):
        return jupyter("ipywidgets", environment("ipywidgets"), PYTHONPATH=str(APPS), STUB_URL=stub_url)

    def ask(self, page: Page, prompt: str) -> None:
        page.locator(".naive-field textarea").fill(prompt)
        page.locator(".naive-send").click()


class _InTextArea(Chat):
    """A page with a text field that sends on Enter."""

    address = "/"
    field = "textarea"

    def open(self, page: Page) -> None:
        page.goto(self.server.url + self.address)
        page.locator(self.field).first.wait_for(timeout=PATIENCE_MS)

    def ask(self, page: Page, prompt: str) -> None:
        field = page.locator(self.field).first
        field.fill(prompt)
        field.press("Enter")


class Streamlit(_InTextArea):
    """Streamlit's chat elements."""

    name = "Streamlit"
    selector = "[data-testid=stChatMessage]"
    field = "[data-testid=stChatInputTextArea]"

    @classmethod
    def _serve(cls, stub_url: str):
        [port] = free_ports(1)
        options = [f"--server.port={port}", "--server.headless=true", "--server.address=127.0.0.1"]
        options += ["--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
        program = environment("streamlit") / "bin/streamlit"
        command: list[str | Path] = [program, "run", APPS / "streamlit_app.py", *options]
        return running("streamlit", command, port, "/_stcore/health", STUB_URL=stub_url)


class Gradio(_InTextArea):
    """Gradio's ChatInterface."""

    name = "Gradio"
    selector = "[data-testid=bot], .bot"

    @classmethod
    def _serve(cls, stub_url: str):
        [port] = free_ports(1)
        command: list[str | Path] = [environment("gradio") / "bin/python", APPS / "gradio_app.py", str(port)]
        return running("gradio", command, port, STUB_URL=stub_url, GRADIO_ANALYTICS_ENABLED="False")


class Panel(_InTextArea):
    """Panel's ChatInterface."""

    name = "Panel"
    selector = "div.bk-clearfix, .bk-clearfix, .markdown, div"
    address = "/panel_app"

    @classmethod
    def _serve(cls, stub_url: str):
        [port] = free_ports(1)
        program = environment("panel") / "bin/panel"
        command: list[str | Path] = [program, "serve", APPS / "panel_app.py", "--port", str(port)]
        return running("panel", command, port, "/panel_app", STUB_URL=stub_url)


class NotebookIntelligence(_InTextArea):
    """The side bar of notebook-intelligence, with its plain OpenAI-compatible provider."""

    name = "notebook-intelligence"
    selector = ".sidebar, .nbi-sidebar, .chat-message"
    field = ".sidebar-user-input textarea"

    @classmethod
    def _serve(cls, stub_url: str):
        values = {"model_id": "stub-a", "base_url": stub_url, "api_key": "none", "context_window": "32000"}
        properties = [{"id": name, "name": name, "value": value} for name, value in values.items()]
        config = {
            "chat_model": {
                "provider": "openai-compatible",
                "model": "openai-compatible-chat-model",
                "properties": properties,
            },
            "inline_completion_model": {"provider": "none", "model": "none"},
            "tour_completed": True,
        }
        folder = BUILD / "home/notebook-intelligence/.jupyter/nbi"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        return jupyter("notebook-intelligence", environment("notebook-intelligence"))

    def open(self, page: Page) -> None:
        page.goto(f"{self.server.url}/lab?token={self.server.token}&reset")
        tab = page.locator('[data-id="notebook-intelligence-tab"]')
        tab.wait_for(timeout=PATIENCE_MS)
        tab.click()
        page.keyboard.press("Escape")
        page.locator(self.field).wait_for(timeout=PATIENCE_MS)


PEERS: tuple[type[Chat], ...] = (NaiveIpywidgets, Streamlit, Gradio, Panel, NotebookIntelligence)
