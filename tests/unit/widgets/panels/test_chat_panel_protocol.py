"""The panel without a browser: messages in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import traitlets

from litellm_hub.client.errors import AnswerCut, HubError
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk
from tests.unit.widgets.conftest import Recorded, wait_for
from widgets.conversations import waking
from widgets.conversations.loops import goes_round

NewPanel = Callable[..., Recorded]


def test_the_panel_finds_models_and_chooses_the_first(panel: Recorded) -> None:
    assert panel.models == ["scripted"]
    assert panel.model == "scripted"
    assert panel.status["reason"] == "Connected, 1 model."


def test_the_panel_knows_by_what_people_choose_a_model(hub: ScriptedHub, new_panel: NewPanel) -> None:
    hub.notes = {"scripted": {"size": "1.5B", "about": "code", "tools": True, "memory": "asleep"}}
    panel = new_panel()
    wait_for(lambda: bool(panel.abilities))
    assert panel.abilities == {"scripted": {"size": "1.5B", "about": "code", "tools": True, "context": 4096}}


def test_a_prompt_right_after_the_panel_was_made_is_answered(hub: ScriptedHub, folder: Path) -> None:
    panel = Recorded(base_url=hub.url, api_key="sk-test")
    assert panel.ask("Hello").wait(10).text == "Hello"
    panel.close()


def test_an_answer_streams_and_brings_its_figures(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply(answer_lines(["a", "b", "c"]), pause=0.02)
    panel.sent.clear()
    panel.receive("ask", text="Hello")
    panel.done()
    assert panel.kinds[:2] == ["path", "title"]
    assert panel.kinds[-1] == "end"
    assert set(panel.kinds[2:-1]) == {"delta"}
    prompt, answer = panel.messages
    assert (prompt["role"], prompt["content"]) == ("user", "Hello")
    assert (answer["content"], answer["state"], answer["model"]) == ("abc", "done", "scripted")
    figures = answer["figures"]
    assert (figures["prompt_tokens"], figures["completion_tokens"], figures["cost"]) == (7, 3, 3.6e-6)
    assert figures["context_tokens"] == 10
    assert 0 < figures["first_token_s"] < figures["duration_s"]
    assert figures["tokens_per_s"] > 0
    assert panel.view.entries == panel.session.conversation.entries()


@pytest.fixture
def quick_waking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "FIRST_S", 0.02)
    monkeypatch.setattr(waking, "EVERY_S", 0.02)


def states(panel: Recorded) -> list[str]:
    return [event["state"] for event in panel.sent if event["type"] == "state"]


@pytest.mark.usefixtures("quick_waking")
def test_an_answer_that_waits_for_its_model_says_so_until_that_is_loaded(panel: Recorded, hub: ScriptedHub) -> None:
    hub.notes = {"scripted": {"memory": "asleep"}}
    hub.reply = lambda body: Reply(answer_lines(["Hello"]), silence_before=1.5)
    panel.sent.clear()
    panel.receive("ask", text="Hello")
    wait_for(lambda: states(panel) == ["loading"])
    assert panel.view.entries[-1]["state"] == "loading"
    panel.replay()
    assert panel.view.entries[-1]["state"] == "loading"
    hub.notes = {"scripted": {"memory": "ready"}}
    wait_for(lambda: states(panel) == ["loading", "streaming"])
    panel.done()
    assert states(panel) == ["loading", "streaming"]
    assert panel.view.entries[-1]["state"] == "done"


@pytest.mark.usefixtures("quick_waking")
def test_an_answer_says_how_far_it_is_in_the_queue_until_it_is_its_turn(panel: Recorded, hub: ScriptedHub) -> None:
    hub.notes = {"scripted": {"memory": "ready"}}
    places = iter([None, 3, 3, 1])
    hub.place = lambda call_id: next(places, None) if call_id == hub.call_ids[-1] else None
    hub.reply = lambda body: Reply(answer_lines(["Hello"]), silence_before=1.5)
    panel.sent.clear()
    panel.receive("ask", text="Hello")
    wait_for(lambda: states(panel) == ["queued"])
    assert (panel.view.entries[-1]["state"], panel.view.entries[-1]["figures"]) == ("queued", {"place": 3})
    panel.done()
    told = [(event["state"], event.get("place")) for event in panel.sent if event["type"] == "state"]
    assert told == [("queued", 3), ("queued", 1), ("streaming", None)]
    assert "place" not in panel.view.entries[-1]["figures"]


@pytest.mark.usefixtures("quick_waking")
def test_the_first_word_ends_the_loading_and_what_the_hub_does_not_know_is_not_said(
    panel: Recorded, hub: ScriptedHub
) -> None:
    hub.notes = {"scripted": {"memory": "loading"}}
    hub.reply = lambda body: Reply(answer_lines(["a", "b"]), silence_before=0.3, pause=0.1)
    panel.sent.clear()
    panel.ask("Hello").wait(10)
    kinds = [event["type"] for event in panel.sent if event["type"] in ("state", "delta")]
    assert kinds[:3] == ["state", "state", "delta"]
    assert "state" not in kinds[3:]
    for unknown in ({"scripted": {}}, None):
        hub.notes = unknown
        panel.sent.clear()
        panel.ask("Hello").wait(10)
        assert states(panel) == []


def test_settings_are_sent_only_when_set(panel: Recorded, hub: ScriptedHub) -> None:
    panel.ask("one").wait(10)
    panel.temperature, panel.max_tokens, panel.system_prompt = 0.5, 9, "Be kind."
    panel.ask("two").wait(10)
    bare, full = hub.requests
    assert not {"temperature", "tools"} & set(bare)
    assert bare["max_tokens"] == 1024
    assert (full["temperature"], full["max_tokens"]) == (0.5, 9)
    assert [message["content"] for message in full["messages"]] == ["Be kind.", "one", "Hello", "two"]


def test_an_answer_that_goes_round_is_stopped_and_can_be_asked_again(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply(answer_lines(["The sea is ", *["blue, and the sea is "] * 400]))
    with pytest.raises(HubError, match="repeats itself"):
        panel.ask("Hello").wait(10)
    answer = panel.view.entries[-1]
    assert (answer["state"], answer["retry"]) == ("cut", True)
    assert len(answer["text"]) < 3000


@pytest.mark.parametrize(
    ("text", "round_and_round"),
    [
        ("word and " * 200, True),
        ("-" * 2000, False),
        ("| 1 | 2 |\n" * 200, False),
        ("".join(f"{number} times two is {2 * number}. " for number in range(100)), False),
        ("word and " * 20, False),
        ("Not so. " + "x" * 1199, False),
    ],
)
def test_only_words_that_come_again_and_again_are_a_loop(text: str, round_and_round: bool) -> None:
    assert goes_round(text) is round_and_round


def test_stop_keeps_the_text_and_ends_the_request(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("half an ")], ending="silent")
    panel.ask("Hello")
    wait_for(lambda: panel.messages[-1]["content"] == "half an ")
    panel.receive("stop")
    assert hub.left.wait(2)
    panel.done()
    assert (panel.messages[-1]["content"], panel.messages[-1]["state"]) == ("half an ", "stopped")
    hub.reply = lambda body: Reply(answer_lines(["usable"]))
    assert panel.ask("Again").wait(10).text == "usable"


def test_a_second_prompt_waits_for_the_first_answer(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    panel.ask("one")
    with pytest.raises(RuntimeError, match="still being written"):
        panel.ask("two")
    for message in [
        {"kind": "ask", "text": "two"},
        {"kind": "regenerate", "id": panel.messages[1]["id"]},
        {"kind": "edit", "id": panel.messages[0]["id"], "text": "two"},
    ]:
        panel.receive(**message)
    assert [message["content"] for message in panel.messages if message["role"] == "user"] == ["one"]
    with pytest.raises(ValueError, match="blank"):
        panel.ask(" \n")
    assert panel.view.busy


def test_two_panels_answer_at_once(new_panel: NewPanel, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    one, two = new_panel(), new_panel()
    one.ask("one")
    two.ask("two")
    wait_for(lambda: one.messages[-1]["content"] == two.messages[-1]["content"] == "x")
    one.stop()
    one.done()
    assert two.busy


def test_a_cut_answer_keeps_its_text_says_why_and_can_be_retried(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("half")], ending="lost")
    panel.ask("one")
    panel.done()
    cut = panel.view.entries[-1]
    assert (cut["text"], cut["state"], cut["retry"]) == ("half", "cut", True)
    assert "broke off" in panel.messages[-1]["error"]
    hub.reply = lambda body: Reply(answer_lines(["whole"]))
    panel.receive("retry", id=cut["id"])
    panel.done()
    assert panel.view.entries[-1]["text"] == "whole"
    assert panel.view.entries[-1]["branch"] == {"index": 1, "count": 2}


def test_regenerate_edit_branch_and_delete_change_what_the_model_sees(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply(answer_lines([f"answer {len(hub.requests)}"]))
    panel.ask("one").wait(10)
    panel.ask("two").wait(10)
    panel.receive("regenerate", id=panel.messages[1]["id"])
    panel.done()
    assert [message["content"] for message in panel.messages] == ["one", "answer 3"]
    panel.receive("branch", id=panel.messages[1]["id"], step=-1)
    assert [message["content"] for message in panel.messages] == ["one", "answer 1", "two", "answer 2"]
    panel.receive("edit", id=panel.messages[2]["id"], text="three")
    panel.done()
    assert [message["content"] for message in hub.requests[-1]["messages"]] == ["one", "answer 1", "three"]
    panel.receive("delete", id=panel.messages[2]["id"])
    assert [message["content"] for message in panel.messages] == ["one", "answer 1", "two", "answer 2"]
    assert panel.view.entries == panel.session.conversation.entries()
    panel.receive("delete", id="unknown")


def test_deleting_the_answer_that_is_being_written_ends_its_request(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    handle = panel.ask("one")
    wait_for(lambda: panel.messages[-1]["content"] == "x")
    panel.receive("delete", id=panel.messages[0]["id"])
    assert hub.left.wait(2)
    assert panel.messages == []
    assert not panel.view.busy
    assert handle.wait(10).state == "stopped"


def test_a_new_conversation_lets_the_answer_of_the_old_one_go_on(panel: Recorded, hub: ScriptedHub) -> None:
    go_on = iter([False, True])
    hub.reply = lambda body: Reply(answer_lines(["x"] * 20), pause=0.02 if next(go_on) is False else 0)
    handle, first = panel.ask("one"), panel.conversation
    wait_for(lambda: panel.messages[-1]["content"] != "")
    assert panel.request("new")["ok"]
    assert (panel.messages, panel.busy, panel.view.busy) == ([], False, False)
    assert panel.view.conversation["title"] == ""
    assert handle.wait(10).text == "x" * 20
    assert panel.view.entries == []
    assert panel.request("open", id=first)["ok"]
    assert panel.view.entries[-1]["text"] == "x" * 20
    assert panel.view.conversation == {"id": first, "title": "one"}


def test_without_address_the_panel_says_so_and_a_prompt_fails_readably(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.delenv("LITELLM_BASE_URL", raising=False)
    panel = Recorded(api_key="sk-x1234")
    wait_for(lambda: panel.status["state"] == "not_configured")
    handle = panel.ask("one")
    panel.done()
    assert panel.messages[-1]["state"] == "failed"
    assert "LITELLM_BASE_URL" in panel.messages[-1]["error"]
    with pytest.raises(HubError, match="LITELLM_BASE_URL"):
        handle.wait(10)
    panel.close()


def test_an_answer_can_be_awaited_and_what_went_wrong_is_raised(panel: Recorded, hub: ScriptedHub) -> None:
    async def ask() -> Any:
        first = await panel.ask("one")
        return first, await panel.ask("two")

    first, second = asyncio.run(ask())
    assert (first.text, str(second), second.state, second.model) == ("Hello", "Hello", "done", "scripted")
    assert first.figures["completion_tokens"] == 1
    hub.reply = lambda body: Reply([chunk("half")], ending="lost")

    async def fail() -> None:
        await panel.ask("three")

    with pytest.raises(AnswerCut) as caught:
        asyncio.run(fail())
    assert caught.value.partial == "half"
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    with pytest.raises(TimeoutError, match="did not end"):
        panel.ask("four").wait(0.01)


def test_the_history_is_a_frame_with_typed_columns(panel: Recorded, hub: ScriptedHub) -> None:
    empty = panel.history
    assert empty.empty
    panel.ask("one").wait(10)
    frame = panel.history
    assert list(frame["role"]) == ["user", "assistant"]
    assert list(frame["text"]) == ["one", "Hello"]
    assert frame["created"].dt.tz is not None
    assert frame["completion_tokens"].dtype == "Int64"
    assert frame["cost"].iloc[1] == pytest.approx(3.6e-6)
    assert frame["state"].isna().tolist() == [True, False]
    assert dict(empty.dtypes) == dict(frame.dtypes)


def test_neither_key_nor_conversation_is_in_the_state_that_notebooks_save(panel: Recorded) -> None:
    panel.ask("a secret prompt").wait(10)
    state = str(panel.get_state())
    assert "sk-secret" not in state
    assert "secret prompt" not in state


def test_settings_out_of_range_are_refused(panel: Recorded) -> None:
    for name, value in [("temperature", 2.5), ("max_tokens", 0)]:
        with pytest.raises(traitlets.TraitError):
            setattr(panel, name, value)


def test_the_meters_show_spend_budget_and_context(panel: Recorded, hub: ScriptedHub) -> None:
    assert panel.meters["spend"] == 0.25
    assert panel.meters["max_budget"] == 5.0
    assert panel.meters["context_used"] == 0
    panel.ask("one")
    panel.done()
    wait_for(lambda: panel.meters["spend"] == pytest.approx(0.25 + 3.6e-6))
    assert panel.meters["context_used"] == 8


def test_the_context_of_what_the_hub_did_not_count_is_estimated(panel: Recorded, hub: ScriptedHub) -> None:
    panel.ask("one").wait(10)
    hub.reply = lambda body: Reply([chunk("word " * 100)], ending="silent")
    panel.ask("another " * 50)
    wait_for(lambda: len(panel.messages[-1]["content"]) > 400)
    panel.receive("stop")
    panel.done()
    wait_for(lambda: panel.meters["context_used"] == pytest.approx(8 + 150 * 1.2, abs=10))
    used = panel.meters["context_used"]
    hub.reply = lambda body: Reply([], ending="lost")
    panel.ask("never read " * 50)
    panel.done()
    assert panel.meters["context_used"] == used
    before = panel.conversation
    panel.request("new")
    assert panel.meters["context_used"] == 0
    panel.request("open", id=before)
    assert panel.meters["context_used"] == used


def test_the_model_that_was_used_last_is_chosen_next_time(new_panel: NewPanel, hub: ScriptedHub) -> None:
    hub.models = ["first", "second"]
    panel = new_panel()
    assert panel.model == "first"
    panel.model = "second"
    panel.ask("one").wait(10)
    assert new_panel().model == "second"
    hub.models = ["first"]
    assert new_panel().model == "first"
    assert new_panel(model="third").model == "third"


def test_a_message_of_an_unknown_type_is_logged(panel: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    panel.receive("dance")
    assert "dance" in caplog.text


def test_a_module_comes_as_bytes_and_an_unknown_one_is_refused(panel: Recorded) -> None:
    reply = panel.request("module", name="../chat_panel")
    assert not reply["ok"]


def test_a_key_that_was_typed_is_used_and_never_shown(hub: ScriptedHub, folder: Path) -> None:
    panel = Recorded(base_url=hub.url, api_key="")
    wait_for(lambda: panel.status["state"] == "not_configured")
    panel.receive("key", key=" sk-typed ")
    wait_for(lambda: panel.status["state"] == "ok")
    assert "sk-typed" not in str(panel.get_state())
    assert "sk-typed" not in str(panel.sent)
    panel.close()
