"""The panel without a browser: messages in, events out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import traitlets

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk, scripted_hub
from widgets import ChatPanel


class Recorded(ChatPanel):
    """A panel that keeps what it sends."""

    def send(self, content: Any, buffers: Any = None) -> None:
        self.__dict__.setdefault("sent", []).append(content)

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.__dict__.get("sent", [])]


def wait_for(condition: Callable[[], bool], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_hub() as running:
        yield running


@pytest.fixture
def panel(hub: ScriptedHub) -> Iterator[Recorded]:
    made = Recorded(base_url=hub.url, api_key="sk-secret-of-the-test")
    wait_for(lambda: made.status["state"] == "ok")
    yield made
    made.close()


def receive(panel: ChatPanel, **content: Any) -> None:
    panel._handle_custom_msg(content, [])


def test_the_panel_finds_models_and_chooses_the_first(panel: Recorded) -> None:
    assert panel.models == ["scripted"]
    assert panel.model == "scripted"
    assert panel.status["reason"] == "Connected, 1 model."


def test_an_answer_streams_and_brings_its_figures(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply(answer_lines(["a", "b", "c"]), pause=0.02)
    receive(panel, type="ask", text="Hello")
    wait_for(lambda: not panel.busy)
    wait_for(lambda: panel.kinds[-1] == "end")
    assert panel.kinds[0] == "begin"
    assert set(panel.kinds[1:-1]) == {"delta"}
    prompt, answer = panel.messages
    assert prompt == {"role": "user", "content": "Hello"}
    assert (answer["content"], answer["state"], answer["model"]) == ("abc", "done", "scripted")
    figures = answer["figures"]
    assert (figures["prompt_tokens"], figures["completion_tokens"], figures["cost"]) == (7, 3, 3.6e-6)
    assert 0 < figures["first_token_s"] < figures["duration_s"]
    assert figures["tokens_per_s"] > 0


def test_settings_are_sent_only_when_set(panel: Recorded, hub: ScriptedHub) -> None:
    panel.ask("one")
    wait_for(lambda: not panel.busy)
    panel.temperature, panel.max_tokens, panel.system_prompt = 0.5, 9, "Be kind."
    panel.ask("two")
    wait_for(lambda: not panel.busy)
    bare, full = hub.requests
    assert "temperature" not in bare
    assert "max_tokens" not in bare
    assert (full["temperature"], full["max_tokens"]) == (0.5, 9)
    assert [message["content"] for message in full["messages"]] == ["Be kind.", "one", "Hello", "two"]


def test_stop_keeps_the_text_and_ends_the_request(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("half an ")], ending="silent")
    panel.ask("Hello")
    wait_for(lambda: panel.messages[-1]["content"] == "half an ")
    receive(panel, type="stop")
    assert hub.left.wait(2)
    wait_for(lambda: panel.messages[-1]["state"] == "stopped")
    assert panel.messages[-1]["content"] == "half an "
    hub.reply = lambda body: Reply(answer_lines(["usable"]))
    wait_for(lambda: not panel.busy)
    panel.ask("Again")
    wait_for(lambda: panel.messages[-1]["content"] == "usable")


def test_a_second_prompt_waits_for_the_first_answer(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    panel.ask("one")
    with pytest.raises(RuntimeError, match="still streaming"):
        panel.ask("two")
    receive(panel, type="ask", text="two")
    assert [message["content"] for message in panel.messages if message["role"] == "user"] == ["one"]
    with pytest.raises(ValueError, match="blank"):
        panel.ask(" \n")


def test_clear_in_the_middle_of_an_answer_leaves_nothing_behind(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    panel.ask("one")
    receive(panel, type="clear")
    wait_for(lambda: not panel.busy)
    assert panel.messages == []
    assert panel.kinds[-1] == "clear"


def test_a_cut_answer_keeps_its_text_and_says_why(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("half")], ending="lost")
    panel.ask("one")
    wait_for(lambda: not panel.busy and panel.messages[-1]["state"] == "cut")
    assert panel.messages[-1]["content"] == "half"
    assert "broke off" in panel.messages[-1]["error"]


def test_without_address_the_panel_says_so_and_a_prompt_fails_readably(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_BASE_URL", raising=False)
    panel = Recorded(api_key="sk-x1234")
    wait_for(lambda: panel.status["state"] == "not_configured")
    panel.ask("one")
    assert panel.messages[-1]["state"] == "failed"
    assert "LITELLM_BASE_URL" in panel.messages[-1]["error"]


def test_neither_key_nor_conversation_is_in_the_state_that_notebooks_save(panel: Recorded) -> None:
    panel.ask("a secret prompt")
    wait_for(lambda: not panel.busy)
    state = str(panel.get_state())
    assert "sk-secret" not in state
    assert "secret prompt" not in state


def test_settings_out_of_range_are_refused(panel: Recorded) -> None:
    for name, value in [("temperature", 2.5), ("max_tokens", 0)]:
        with pytest.raises(traitlets.TraitError):
            setattr(panel, name, value)


def test_a_message_of_an_unknown_type_is_logged(panel: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    receive(panel, type="dance")
    assert "dance" in caplog.text


def test_the_script_is_one_module_without_imports() -> None:
    script = str(ChatPanel._esm)
    assert "import " not in script
    assert script.count("export ") == 1
    assert "innerHTML" not in script
