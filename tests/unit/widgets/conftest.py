"""Panels without a browser: messages in, events out, against a scripted hub and a folder of the test's own."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.scripted_hub import ScriptedHub, scripted_hub
from tests.unit.widgets.view import View
from widgets import ChatPanel
from widgets.panels.chat_session import ChatSession
from widgets.storage.store import FOLDER_VARIABLE

KEY = "sk-secret-of-the-test"
numbers = itertools.count()


def wait_for(condition: Callable[[], bool], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


class Recording:
    """Keeps what a panel sends, and shows it in views."""

    def send(self, content: Any, buffers: Any = None) -> None:
        if not hasattr(self, "sent"):  # panels send before their making has ended
            self.sent: list[dict[str, Any]] = []
            self.views = [View()]
        self.sent.append(content)
        for view in self.views:
            view.take(content)

    @property
    def view(self) -> View:
        """The first view."""
        return self.views[0]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def receive(self, kind: str, **content: Any) -> None:
        """Take a message of a view that needs no reply."""
        self._handle_custom_msg({"type": kind, **content}, [])  # type: ignore[attr-defined]

    def request(self, kind: str, **content: Any) -> dict[str, Any]:
        """Take a message of a view, and wait for the reply."""
        number = f"request-{next(numbers)}"
        self.receive(kind, request=number, **content)
        replies: list[dict[str, Any]] = []

        def replied() -> bool:
            replies[:] = [one for one in list(self.sent) if one.get("request") == number]
            return bool(replies)

        wait_for(replied)
        assert len(replies) == 1
        return replies[0]


class Recorded(Recording, ChatPanel):
    """A chat panel that keeps what it sends."""

    @property
    def session(self) -> ChatSession:
        return self._session

    def replay(self) -> None:
        self.receive("replay")

    def done(self) -> None:
        """Wait until the last answer has ended and all is said about it."""
        task = self.session.task
        assert task is not None
        wait_for(lambda: not self.busy and task.done.done())


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_hub() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the test's conversations, made when something is saved."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "chats"))
    return tmp_path / "chats"


@pytest.fixture
def new_panel(hub: ScriptedHub, folder: Path) -> Iterator[Callable[..., Recorded]]:
    """Make panels that are ready for a prompt, and close them in the end."""
    made: list[Recorded] = []

    def make(**options: Any) -> Recorded:
        panel = Recorded(**{"base_url": hub.url, "api_key": KEY, **options})
        made.append(panel)
        wait_for(lambda: panel.status["state"] == "ok")
        panel.replay()
        return panel

    yield make
    for panel in made:
        panel.close()


@pytest.fixture
def panel(new_panel: Callable[..., Recorded]) -> Recorded:
    return new_panel()
