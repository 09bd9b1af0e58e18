"""The conversation and the events that keep its views up to date."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

import pytest

from widgets.conversation import Conversation, Event, State


class View:
    """What the panel's script does with the events, in a few lines."""

    def __init__(self) -> None:
        self.seq: int | None = None
        self.entries: list[dict[str, Any]] = []

    def take(self, event: Event) -> None:
        event = json.loads(json.dumps(event))
        if event["type"] == "replay":
            self.seq, self.entries = event["seq"], event["entries"]
        elif self.seq is not None:
            assert event["seq"] == self.seq + 1, "an event is missing or twice"
            self.seq += 1
            getattr(self, f"_{event['type']}")(event)

    def _begin(self, event: Event) -> None:
        self.entries += [event["question"], event["answer"]]

    def _delta(self, event: Event) -> None:
        assert self.entries[-1]["id"] == event["id"]
        self.entries[-1]["text"] += event["text"]

    def _end(self, event: Event) -> None:
        self.entries[-1].update(event["answer"])

    def _clear(self, event: Event) -> None:
        self.entries = []


def pieces(text: str, chance: random.Random) -> list[str]:
    cuts = sorted(chance.choices(range(len(text) + 1), k=chance.randint(0, 30)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("seed", range(50))
def test_every_view_shows_the_same_however_the_answer_is_cut_and_whenever_the_view_comes(seed: int) -> None:
    chance = random.Random(seed)
    views: list[View] = []
    talk = Conversation(lambda event: [view.take(event) for view in views] and None)
    answers = ["Grüße 🌊\n```py\nx = 1\n```\nend " * chance.randint(1, 5) for _ in range(4)]
    for answer in answers:
        number = talk.ask("prompt", "m")
        for piece in pieces(answer, chance):
            if chance.random() < 0.3:
                views.append(View())
                talk.replay()
            talk.add(number, piece)
        talk.end(number, State.DONE, figures={"cost": 1})
        if chance.random() < 0.2:
            talk.clear()
    views.append(View())
    talk.replay()
    expected = json.loads(json.dumps(talk.entries()))
    assert len(views) > 1
    for view in views:
        assert view.entries == expected
    whole = [entry["text"] for entry in expected if entry["role"] == "assistant"]
    assert whole == answers[len(answers) - len(whole) :]


def test_views_stay_whole_when_replays_come_from_other_threads() -> None:
    view = View()
    talk = Conversation(view.take)
    number = talk.ask("prompt", "m")
    ended = threading.Event()

    def replay() -> None:
        while not ended.is_set():
            talk.replay()

    threads = [threading.Thread(target=replay) for _ in range(2)]
    for thread in threads:
        thread.start()
    for index in range(300):
        talk.add(number, f"{index} ")
    ended.set()
    for thread in threads:
        thread.join()
    assert view.entries[-1]["text"] == "".join(f"{index} " for index in range(300))


def test_what_comes_after_the_end_or_a_clear_is_dropped() -> None:
    events: list[Event] = []
    talk = Conversation(events.append)
    number = talk.ask("prompt", "m")
    talk.end(number, State.STOPPED)
    talk.add(number, "late")
    assert talk.entries()[-1]["text"] == ""
    number = talk.ask("prompt", "m")
    talk.clear()
    talk.add(number, "late")
    talk.end(number, State.DONE)
    assert talk.entries() == []
    assert [event["type"] for event in events] == ["begin", "end", "begin", "clear"]


def test_the_model_sees_alternating_roles_without_failed_exchanges() -> None:
    talk = Conversation(lambda event: None)
    for prompt, text, state in [
        ("one", "1", State.DONE),
        ("two", "", State.FAILED),
        ("three", "half", State.CUT),
        ("four", "", State.STOPPED),
    ]:
        number = talk.ask(prompt, "m")
        talk.add(number, text)
        talk.end(number, state)
    talk.ask("five", "m")
    assert [(message["role"], message["content"]) for message in talk.messages("Be kind.")] == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "1"),
        ("user", "three"),
        ("assistant", "half"),
        ("user", "five"),
    ]
    assert talk.messages("  ")[0]["role"] == "user"
