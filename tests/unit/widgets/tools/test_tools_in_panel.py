"""Tools: asked for by the model, allowed by the user, run in the kernel, told to the model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.doubles.scripted_model import reply_to
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk
from tests.unit.widgets.conftest import Recorded, wait_for
from widgets.conversations import answer_task

NewPanel = Callable[..., Recorded]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    print(f"adding {a} and {b}")
    return a + b


def fail() -> None:
    """Fail."""
    raise RuntimeError("out of luck")


@pytest.fixture(autouse=True)
def model(hub: ScriptedHub) -> None:
    hub.reply = reply_to


def last(panel: Recorded) -> dict[str, Any]:
    entry: dict[str, Any] = panel.view.entries[-1]
    return entry


def asking(panel: Recorded, count: int = 1) -> None:
    wait_for(lambda: [call["state"] for call in last(panel)["calls"]].count("asking") == count)


def approve(panel: Recorded, call: int = 0, **decision: bool) -> None:
    entry = last(panel)
    panel.receive("approve", id=entry["id"], call=entry["calls"][call]["id"], **decision)


def test_a_call_waits_for_the_user_and_its_result_goes_to_the_model(new_panel: NewPanel, hub: ScriptedHub) -> None:
    panel = new_panel(tools=[add])
    assert panel.tools[0] == {"name": "add", "description": "Add two numbers.", "on": True, "approval": "ask"}
    panel.receive("ask", text='call add {"a": 2, "b": 3}')
    asking(panel)
    assert last(panel)["state"] == "waiting"
    assert last(panel)["calls"][0]["arguments"] == '{\n  "a": 2,\n  "b": 3\n}'
    approve(panel, allow=True, always=False)
    panel.done()
    first, second = hub.requests
    assert first["tools"][0]["function"]["parameters"]["required"] == ["a", "b"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][2]["content"] == "adding 2 and 3\n5", "what it prints belongs to the call"
    entry = last(panel)
    assert (entry["calls"][0]["state"], entry["calls"][0]["result"]) == ("done", "adding 2 and 3\n5")
    assert (entry["state"], "5" in entry["text"]) == ("done", True)
    assert entry["figures"]["prompt_tokens"] == 20 + 7, "both requests count"
    assert panel.view.entries == panel.session.conversation.entries()
    panel.ask("call add {}")
    asking(panel)
    approve(panel, allow=True)
    panel.done()
    assert last(panel)["calls"][0]["state"] == "failed"
    assert "do not fit" in last(panel)["calls"][0]["result"]


def test_a_denied_call_is_told_to_the_model_and_nothing_runs(new_panel: NewPanel, hub: ScriptedHub) -> None:
    ran = threading.Event()

    def touch() -> None:
        """Touch."""
        ran.set()

    panel = new_panel(tools=[touch])
    panel.ask("call touch {}")
    asking(panel)
    approve(panel, allow=False)
    panel.done()
    assert last(panel)["calls"][0]["state"] == "denied"
    assert "did not allow" in hub.requests[1]["messages"][2]["content"]
    assert not ran.is_set()


def test_always_lets_the_other_calls_of_a_tool_run_unasked(new_panel: NewPanel, hub: ScriptedHub) -> None:
    panel = new_panel(tools=[add])
    panel.ask('call add {"a": 1, "b": 1}\ncall add {"a": 2, "b": 2}')
    asking(panel, 2)
    approve(panel, call=1, allow=True, always=True)
    panel.done()
    assert [call["state"] for call in last(panel)["calls"]] == ["done", "done"]
    assert panel.tools[0]["approval"] == "always"
    panel.ask('call add {"a": 3, "b": 3}').wait(10)
    assert last(panel)["calls"][0]["result"].endswith("6")


def test_approve_always_asks_for_nothing_and_a_failure_is_told_to_the_model(
    new_panel: NewPanel, hub: ScriptedHub
) -> None:
    panel = new_panel(tools=[fail], approve="always")
    panel.ask("call fail {}").wait(10)
    assert last(panel)["calls"][0]["state"] == "failed"
    assert "out of luck" in hub.requests[1]["messages"][2]["content"]
    panel.ask("call dance {}").wait(10)
    assert "no tool 'dance'" in last(panel)["calls"][0]["result"]
    assert last(panel)["state"] == "done"


@pytest.mark.parametrize("when", ["asking", "running"])
def test_stop_works_while_a_call_waits_or_runs(new_panel: NewPanel, hub: ScriptedHub, when: str) -> None:
    release, running = threading.Event(), threading.Event()

    def hang() -> str:
        """Hang."""
        running.set()
        release.wait(20)
        return "late"

    panel = new_panel(tools=[hang], approve="ask" if when == "asking" else "always")
    handle = panel.ask("call hang {}")
    if when == "asking":
        asking(panel)
    else:
        assert running.wait(5)
    panel.receive("stop")
    assert handle.wait(5).state == "stopped"
    release.set()
    entry = last(panel)
    assert entry["calls"][0]["state"] == ("denied" if when == "asking" else "failed")
    assert "stopped" in entry["calls"][0]["result"]
    assert len(hub.requests) == 1
    panel.ask("Hello").wait(10)
    roles = [message["role"] for message in hub.requests[1]["messages"]]
    assert roles == ["user", "assistant", "tool", "user"], "a call without a result would be refused"


def test_a_model_that_calls_on_and_on_is_stopped_and_may_go_on(
    new_panel: NewPanel, hub: ScriptedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_task, "MAX_ROUNDS", 3)
    call = {"tool_calls": [{"index": 0, "id": "same", "function": {"name": "add", "arguments": '{"a": 1, "b": 1}'}}]}
    hub.reply = lambda body: Reply([chunk("I add. "), chunk(delta=call), chunk(finish_reason="tool_calls")])
    panel = new_panel(tools=[add], approve="always")
    panel.ask("Go on")
    panel.done()
    entry = last(panel)
    assert (entry["state"], entry["figures"]["finish_reason"], len(hub.requests)) == ("done", "tool_rounds", 4)
    assert len({call["id"] for call in entry["calls"]}) == 3, "ids that a model repeats are made different"
    assert [call["round"] for call in entry["calls"]] == [0, 1, 2]
    assert [entry["text"][: call["at"]].count("I add.") for call in entry["calls"]] == [1, 2, 3]
    hub.reply = lambda body: Reply(answer_lines(["Two."]))
    assert panel.ask("Continue exactly where you stopped.").wait(10).text == "Two."
    told = [message for message in hub.requests[-1]["messages"] if message["role"] == "tool"]
    assert len(told) == 3, "it goes on from what it has"


def test_the_same_call_does_not_run_twice(new_panel: NewPanel, hub: ScriptedHub) -> None:
    ran: list[int] = []

    def count() -> int:
        """Count."""
        ran.append(1)
        return len(ran)

    call = {"tool_calls": [{"index": 0, "id": "same", "function": {"name": "count", "arguments": "{}"}}]}

    def reply(body: dict[str, Any]) -> Reply:
        if len(hub.requests) <= 2:
            return Reply([chunk(delta=call), chunk(finish_reason="tool_calls")])
        return Reply(answer_lines(["One."]))

    hub.reply = reply
    panel = new_panel(tools=[count], approve="always")
    assert panel.ask("Go on").wait(10).text == "One."
    assert ran == [1]
    results = [call["result"] for call in last(panel)["calls"]]
    assert results[0] == "1"
    assert "made before" in results[1]
    assert results[1].endswith("\n1")


def test_a_call_that_nobody_offered_is_an_error_in_words(panel: Recorded, hub: ScriptedHub) -> None:
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add", "arguments": "{}"}}]}
    hub.reply = lambda body: Reply([chunk(delta=call), chunk(finish_reason="tool_calls")])
    panel.ask("Hello")
    panel.done()
    assert last(panel)["state"] == "failed"
    assert "none was offered" in last(panel)["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tools": [add], "approve": "sometimes"}, "sometimes"),
        ({"tools": [add, add]}, "add"),
        ({"tools": [lambda: 1]}, "name"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recorded(**options)


def test_tools_are_offered_again_after_answers_without_them(new_panel: NewPanel, hub: ScriptedHub) -> None:
    panel = new_panel(tools=[add], approve="always")
    panel.ask('call add {"a": 1, "b": 1}').wait(10)
    name = panel.conversation
    panel.close()
    hub.requests.clear()
    hub.reply = lambda body: Reply(answer_lines(["plain"]))
    new_panel(conversation=name).ask("And now?").wait(10)
    assert "tools" not in hub.requests[0]
    roles = [message["role"] for message in hub.requests[0]["messages"]]
    assert roles == ["user", "assistant", "user"], "without tools their calls are left out: some servers refuse them"
