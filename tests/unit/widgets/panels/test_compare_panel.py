"""The comparison without a browser: messages in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import traitlets

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk
from tests.unit.widgets.conftest import KEY, Recording, wait_for
from tests.unit.widgets.view import View
from widgets import ComparePanel


class Recorded(Recording, ComparePanel):
    """A comparison that keeps what it sends."""


@pytest.fixture
def new_comparison(hub: ScriptedHub, folder: Path) -> Iterator[Callable[..., Recorded]]:
    made: list[Recorded] = []
    hub.models = ["one", "two", "three"]
    hub.reply = lambda body: Reply(answer_lines([f"{body['model']} says ", str(len(body["messages"]))]))

    def make(*chosen: str) -> Recorded:
        panel = Recorded(list(chosen), base_url=hub.url, api_key=KEY)
        made.append(panel)
        wait_for(lambda: panel.status["state"] == "ok")
        panel.receive("replay")
        return panel

    yield make
    for panel in made:
        panel.close()


@pytest.fixture
def comparison(new_comparison: Callable[..., Recorded]) -> Recorded:
    return new_comparison()


def ask(panel: Recorded, text: str) -> None:
    count = len(panel.view.entries)
    panel.receive("ask", text=text)
    wait_for(lambda: len(panel.view.entries) > count and not panel.busy)


def texts(panel: Recorded) -> list[str]:
    return [entry["text"] for entry in panel.view.entries]


def test_a_prompt_goes_to_all_chosen_models_and_each_brings_its_own_figures(comparison: Recorded) -> None:
    assert comparison.chosen == ["one", "two"]
    ask(comparison, "Hello")
    prompt, first, second = comparison.view.entries
    assert (prompt["text"], prompt["round"]) == ("Hello", first["round"])
    assert [(answer["model"], answer["text"]) for answer in (first, second)] == [
        ("one", "one says 1"),
        ("two", "two says 1"),
    ]
    assert all(answer["figures"]["cost"] == 3.6e-6 for answer in (first, second))
    assert not comparison.view.busy


def test_each_model_sees_its_own_answers_and_a_newcomer_none(comparison: Recorded, hub: ScriptedHub) -> None:
    ask(comparison, "Hello")
    comparison.chosen = ["two", "three"]
    ask(comparison, "Again")
    assert texts(comparison)[-2:] == ["two says 3", "three says 1"]
    sent = next(body for body in hub.requests if body["model"] == "two" and len(body["messages"]) == 3)
    assert [message["content"] for message in sent["messages"]] == ["Hello", "two says 1", "Again"]


def test_one_that_fails_does_not_disturb_the_others(comparison: Recorded, hub: ScriptedHub) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        if body["model"] == "one":
            return Reply([chunk("half")], ending="lost")
        return Reply(answer_lines(["fine"] * 5), pause=0.02)

    hub.reply = reply
    ask(comparison, "Hello")
    _, first, second = comparison.view.entries
    assert (first["state"], first["text"], first["retry"]) == ("cut", "half", True)
    assert (second["state"], second["text"]) == ("done", "fine" * 5)


def test_stop_ends_all_streams_and_a_second_prompt_waits(comparison: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    comparison.receive("ask", text="Hello")
    wait_for(lambda: texts(comparison)[1:] == ["x", "x"])
    with pytest.raises(RuntimeError, match="still being written"):
        comparison.ask("Again")
    comparison.receive("ask", text="Again")
    comparison.receive("stop")
    wait_for(lambda: not comparison.busy)
    assert [entry.get("state") for entry in comparison.view.entries] == [None, "stopped", "stopped"]


def test_a_late_view_and_one_that_lost_events_show_the_same(comparison: Recorded) -> None:
    ask(comparison, "Hello")
    comparison.view.lost = 3
    late = View()
    comparison.views.append(late)
    comparison.receive("replay")
    for handle in comparison.ask("Again"):
        handle.wait(10)
    if comparison.view.needs_replay:
        comparison.receive("replay")
    assert late.entries == comparison.view.entries == comparison._comparison.entries()


def test_the_columns_do_not_tell_the_models(comparison: Recorded) -> None:
    comparison.chosen = ["one", "two", "three"]
    orders = set()
    for _ in range(30):
        ask(comparison, "Hello")
        answers = comparison.view.entries[-3:]
        assert {answer["column"] for answer in answers} == {0, 1, 2}
        orders.add(tuple(answer["column"] for answer in answers))
    assert len(orders) > 2


def test_a_choice_is_made_once_after_all_answers_and_stands_in_the_history(
    comparison: Recorded, hub: ScriptedHub
) -> None:
    hub.reply = lambda body: Reply([chunk("x")], ending="silent")
    comparison.receive("ask", text="Hello")
    wait_for(lambda: texts(comparison)[1:] == ["x", "x"])
    prompt, first, second = comparison.view.entries
    assert prompt["choice"] is None
    comparison.receive("choose", round=prompt["round"], answer=first["id"])
    assert comparison.view.entries[0]["choice"] is None, "not while they are being written"
    comparison.receive("stop")
    wait_for(lambda: not comparison.busy)
    comparison.receive("choose", round=prompt["round"], answer="of another round")
    assert comparison.view.entries[0]["choice"] is None
    comparison.receive("choose", round=prompt["round"], answer=second["id"])
    comparison.receive("choose", round=prompt["round"], answer=first["id"])
    late = View()
    comparison.views.append(late)
    comparison.receive("replay")
    assert late.entries == comparison.view.entries
    assert late.entries[0]["choice"] == second["id"]
    hub.reply = lambda body: Reply(answer_lines(["fine"]))
    ask(comparison, "Again")
    comparison.receive("choose", round=comparison.view.entries[-1]["round"], answer="")
    assert comparison.view.entries[3]["choice"] == ""
    chosen = comparison.history["chosen"]
    assert [None if missing else bool(value) for value, missing in zip(chosen, chosen.isna(), strict=True)] == [
        *(None, False, True),
        *(None, False, False),
    ]


def test_what_cannot_be_compared_is_refused(comparison: Recorded) -> None:
    for names in (["one", "one"], ["a", "b", "c", "d", "e"]):
        with pytest.raises(traitlets.TraitError, match="cannot be compared"):
            comparison.chosen = names
    comparison.chosen = ["one"]
    with pytest.raises(ValueError, match="choose 2 to 4"):
        comparison.ask("Hello")
    with pytest.raises(ValueError, match="blank"):
        comparison.ask(" ")


def test_the_answers_can_be_awaited_and_the_history_names_their_rounds(comparison: Recorded) -> None:
    async def both() -> list[str]:
        return [(await handle).text for handle in comparison.ask("Hello")]

    assert asyncio.run(both()) == ["one says 1", "two says 1"]
    frame = comparison.history
    assert list(frame["model"].dropna()) == ["one", "two"]
    assert frame["round"].nunique() == 1
