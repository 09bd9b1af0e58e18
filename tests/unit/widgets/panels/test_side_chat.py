from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.scripted_model import reply_to
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines
from tests.unit.widgets.conftest import KEY, wait_for
from widgets.panels.side_chat import SideChat

CELL = {"source": "1 / 0", "error": "ZeroDivisionError: division by zero"}


class Comm:
    """The kernel's end of a comm, which keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed: Callable[[object], None] = lambda _: None

    def on_close(self, callback: Callable[[object], None]) -> None:
        self.closed = callback

    def send(self, data: dict[str, Any]) -> None:
        self.sent.append(data)

    def reply(self) -> dict[str, Any]:
        wait_for(lambda: bool(self.sent) and "ok" in self.sent[-1])
        return self.sent[-1]


@pytest.fixture
def chat(hub: ScriptedHub, folder: Path) -> Iterator[SideChat]:
    made = SideChat(base_url=hub.url, api_key=KEY)
    wait_for(lambda: made.status["state"] == "ok")
    yield made
    made.close()


def request(chat: SideChat, kind: str = "write", **cell: Any) -> Comm:
    comm = Comm()
    chat._take(comm, {"content": {"data": {"type": kind, "cell": {**CELL, **cell}}}})
    return comm


def test_a_cell_is_written_anew_by_the_chosen_model(chat: SideChat, hub: ScriptedHub) -> None:
    hub.models = ["scripted", "other"]
    chat.model = "other"
    hub.reply = lambda _: Reply(answer_lines(["```python\n", "1 / 2\n```"]))
    comm = request(chat)
    lines = [("-", "1 / 0"), ("+", "1 / 2")]
    assert comm.reply() == {"ok": True, "model": "other", "code": "1 / 2", "lines": lines}
    assert comm.sent[0] == {"model": "other"}
    assert hub.requests[-1]["model"] == "other"
    assert chat.messages == [], "the conversation stays as it is"


def test_what_goes_wrong_is_said_in_words(chat: SideChat, hub: ScriptedHub) -> None:
    hub.reply = lambda _: Reply(answer_lines(["I do not know."]))
    assert request(chat).reply()["reason"] == "scripted answered without code."
    hub.reply = lambda _: reply_to({"messages": [{"role": "user", "content": "fail"}]})
    assert request(chat).reply()["remedy"] == "Ask again."
    chat.model = ""
    assert request(chat).reply()["reason"] == "No model is chosen."
    assert "variables" in request(chat, variables=3).reply()["reason"]


def test_without_a_hub_the_reason_is_the_status(folder: Path) -> None:
    chat = SideChat(base_url="http://127.0.0.1:9/v1", api_key=KEY)
    wait_for(lambda: chat.status["state"] == "unreachable")
    reply = request(chat).reply()
    assert not reply["ok"]
    assert "Nothing answers" in reply["reason"]
    assert reply["remedy"]
    chat.close()


def test_a_request_that_is_cancelled_leaves_the_hub_and_tells_nothing_more(chat: SideChat, hub: ScriptedHub) -> None:
    hub.reply = lambda _: Reply(answer_lines(["a "] * 200), pause=0.05)
    comm = request(chat)
    wait_for(lambda: bool(hub.requests))
    comm.closed({})
    assert hub.left.wait(10), "the hub goes on"
    assert comm.sent == [{"model": "scripted"}]


def test_an_explanation_is_asked_for_in_the_chat(chat: SideChat, hub: ScriptedHub) -> None:
    hub.reply = lambda _: Reply(answer_lines(["Never divide by zero. "] * 40), pause=0.02)
    assert request(chat, "explain").reply() == {"ok": True}
    wait_for(lambda: bool(hub.requests))
    busy = request(chat, "explain").reply()
    assert (busy["ok"], busy["reason"]) == (False, "The chat is writing an answer.")
    chat.stop()
    wait_for(lambda: not chat.busy)
    assert chat.messages[0]["content"].startswith("Explain this error")
    sent = hub.requests[-1]["messages"][-1]["content"]
    assert "1 / 0" in sent
    assert "division by zero" in sent


def test_a_chat_that_was_just_made_waits_for_its_model(hub: ScriptedHub, folder: Path) -> None:
    """As one that the button of a cell has opened."""
    chat = SideChat(base_url=hub.url, api_key=KEY)
    assert request(chat, "explain").reply() == {"ok": True}
    wait_for(lambda: bool(hub.requests))
    assert hub.requests[-1]["model"] == "scripted"
    chat.close()
