"""The conversation, and the events that keep its views up to date."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.widgets.view import View
from widgets.conversations.conversation import BusyError, Conversation, title_of
from widgets.panels.event_feed import EventFeed
from widgets.storage.document import Attached, Call, CallState, DocumentError, Ending, State, parse, recover

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PROMPTS = TEXTS.filter(str.strip)


class Talk(RuleBasedStateMachine):
    """Any order of changes, with views that come, and lose events, at any time."""

    @initialize()
    def begin(self) -> None:
        self.views = [View()]
        self.talk = Conversation()
        self.feed = EventFeed(self.send)
        self.feed.show(self.talk)
        self.feed.replay()
        self.live: str | None = None
        self.said = ""
        self.calls = 0

    def send(self, event: dict[str, Any]) -> None:
        for view in self.views:
            view.take(event)

    def path(self) -> list[dict[str, Any]]:
        return self.talk.entries()

    def asked(self, answer_id: str) -> None:
        self.live, self.said = answer_id, ""

    @precondition(lambda self: not self.live)
    @rule(text=PROMPTS)
    def ask(self, text: str) -> None:
        self.asked(self.talk.ask(text, "m", [Attached(name="df", text="df: 3 rows")]))

    @precondition(lambda self: self.live)
    @rule(text=PROMPTS)
    def ask_while_busy(self, text: str) -> None:
        with pytest.raises(BusyError):
            self.talk.ask(text, "m")

    @precondition(lambda self: self.live)
    @rule(text=TEXTS)
    def add(self, text: str) -> None:
        assert self.live
        self.talk.add(self.live, text)
        self.said += text

    @precondition(lambda self: self.live)
    @rule(state=st.sampled_from([CallState.ASKING, CallState.RUNNING, CallState.DONE]), new=st.booleans())
    def call(self, state: CallState, new: bool) -> None:
        assert self.live
        self.calls += new
        at = len(self.said)
        self.talk.set_call(self.live, Call(id=str(self.calls), name="f", state=state, at=at, result="r"))

    @precondition(lambda self: self.live)
    @rule(state=st.sampled_from([State.DONE, State.STOPPED, State.CUT, State.FAILED]))
    def end(self, state: State) -> None:
        assert self.live
        self.talk.end(self.live, Ending(state, {"cost": 0.5}, "because"))
        answer = self.talk.answer(self.live)
        assert (answer.text, answer.state) == (self.said, state)
        assert not any(call.state.live for call in answer.calls)
        self.live = None

    @precondition(lambda self: not self.live and self.path())
    @rule(data=st.data(), text=PROMPTS)
    def edit(self, data: st.DataObject, text: str) -> None:
        prompts = [entry for entry in self.path() if entry["role"] == "user"]
        old = data.draw(st.sampled_from(prompts))
        self.asked(self.talk.edit(old["id"], text, "m"))
        assert self.path()[-2]["text"] == text
        assert self.path()[-2]["branch"] == {"index": old["branch"]["count"], "count": old["branch"]["count"] + 1}

    @precondition(lambda self: not self.live and self.path())
    @rule(data=st.data())
    def regenerate(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.path()))
        self.asked(self.talk.regenerate(entry["id"], "other"))
        assert self.path()[-1]["id"] == self.live

    @precondition(lambda self: self.path())
    @rule(data=st.data(), step=st.integers(-2, 2))
    def switch(self, data: st.DataObject, step: int) -> None:
        entry = data.draw(st.sampled_from(self.path()))
        place = entry["branch"]["index"] + step
        self.talk.switch(entry["id"], step)
        if 0 <= place < entry["branch"]["count"]:
            self.talk.switch(next(e["id"] for e in self.path() if e["branch"]["index"] == place), 0)

    @precondition(lambda self: self.path())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.path()))
        self.talk.delete(entry["id"])
        assert not self.talk.has(entry["id"])
        if self.live and not self.talk.has(self.live):
            self.talk.add(self.live, "late")
            self.live = None

    @rule()
    def open_another_and_come_back(self) -> None:
        self.feed.show(Conversation())
        self.feed.show(self.talk)

    @rule(title=PROMPTS)
    def rename(self, title: str) -> None:
        if title.split():
            self.talk.rename(title)

    @rule()
    def a_view_comes(self) -> None:
        self.views.append(View())
        self.feed.replay()

    @rule(lost=st.integers(1, 3))
    def a_view_loses_events(self, lost: int) -> None:
        self.views[0].lost = lost

    @invariant()
    def views_that_saw_all_show_the_same(self) -> None:
        expected = self.path()
        for view in self.views[1:]:
            assert view.entries == expected
            assert view.busy == self.talk.busy
            assert view.conversation == {"id": self.talk.id, "title": self.talk.title}

    @invariant()
    def a_view_that_noticed_a_gap_is_whole_after_a_replay(self) -> None:
        if self.views[0].needs_replay:
            self.feed.replay()
            assert self.views[0].entries == self.path()

    @invariant()
    def the_tree_is_whole(self) -> None:
        document = parse(self.talk.encode())
        again = Conversation(document)
        assert again.entries() == self.path()
        assert again.document() == self.talk.document()
        path = self.path()
        assert self.talk.busy == (self.live is not None)
        assert len({entry["id"] for entry in path}) == len(path)
        assert all(0 <= entry["branch"]["index"] < entry["branch"]["count"] for entry in path)

    @invariant()
    def the_roles_that_the_model_sees_alternate(self) -> None:
        roles = [message["role"] for message in self.talk.messages(calls=False)]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)


TestTalk = Talk.TestCase
TestTalk.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_views_stay_whole_when_replays_and_switches_come_from_other_threads() -> None:
    view = View()
    talk, other = Conversation(), Conversation()
    feed = EventFeed(view.take)
    feed.show(talk)
    feed.replay()
    answer = talk.ask("prompt", "m")
    ended = threading.Event()

    def disturb() -> None:
        while not ended.is_set():
            feed.replay()
            feed.show(other)
            feed.show(talk)

    threads = [threading.Thread(target=disturb) for _ in range(2)]
    for thread in threads:
        thread.start()
    for index in range(300):
        talk.add(answer, f"{index} ")
    ended.set()
    for thread in threads:
        thread.join()
    assert view.entries[-1]["text"] == "".join(f"{index} " for index in range(300))


def exchange(talk: Conversation, prompt: str, text: str, state: State = State.DONE) -> str:
    answer = talk.ask(prompt, "m")
    talk.add(answer, text)
    talk.end(answer, Ending(state))
    return answer


def said(talk: Conversation, **options: Any) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in talk.messages(**options)]


def test_the_model_sees_alternating_roles_without_failed_exchanges() -> None:
    talk = Conversation()
    exchange(talk, "one", "1")
    exchange(talk, "two", "", State.FAILED)
    exchange(talk, "three", "half", State.CUT)
    exchange(talk, "four", " \n", State.STOPPED)
    talk.ask("five", "m")
    expected = [("user", "one"), ("assistant", "1"), ("user", "three"), ("assistant", "half"), ("user", "five")]
    assert said(talk, system_prompt="Be kind.") == [("system", "Be kind."), *expected]
    assert said(talk, system_prompt="  ") == expected


def test_the_model_sees_attachments_before_the_prompt_and_only_its_own_branch() -> None:
    talk = Conversation()
    first = talk.ask("old", "m", [Attached(name="df", kind="DataFrame", text="df: 3 rows", tokens=4)])
    talk.add(first, "answer to old")
    talk.end(first, Ending(State.DONE))
    talk.edit(talk.entries()[0]["id"], "new", "m")
    assert said(talk) == [("user", "df: 3 rows\n\nnew")]
    assert said(talk, answer_id=first) == [("user", "df: 3 rows\n\nold"), ("assistant", "answer to old")]
    assert talk.entries()[0]["attachments"] == [{"name": "df", "kind": "DataFrame", "tokens": 4}]


def test_the_model_sees_its_calls_round_by_round_with_their_results() -> None:
    talk = Conversation()
    answer = talk.ask("What is the weather?", "m")
    talk.add(answer, "Let me see.")
    at = len("Let me see.")
    for number, (name, arguments) in enumerate([("a", '{"x": 1}'), ("b", "not JSON")]):
        call = Call(id=name, name="f", arguments=arguments, state=CallState.DONE, result=f"r{number}", round=0, at=at)
        talk.set_call(answer, call)
    talk.set_call(answer, Call(id="c", name="g", state=CallState.DENIED, result="no", round=1, at=at))
    talk.add(answer, "\n\nIt rains.")
    talk.end(answer, Ending(State.DONE))
    user, first, one, two, second, third, last = talk.messages()
    assert user["role"] == "user"
    assert (first["content"], [call["id"] for call in first["tool_calls"]]) == ("Let me see.", ["a", "b"])
    assert [call["function"]["arguments"] for call in first["tool_calls"]] == ['{"x": 1}', "{}"], "servers parse these"
    assert (one["tool_call_id"], one["content"], two["content"]) == ("a", "r0", "r1")
    assert (second["content"], second["tool_calls"][0]["id"], third["content"]) == ("", "c", "no")
    assert last == {"role": "assistant", "content": "It rains."}
    assert said(talk, calls=False)[1] == ("assistant", "Let me see.\n\nIt rains.")


def test_an_answer_that_failed_without_a_word_is_replaced_and_any_other_gets_a_branch_beside_it() -> None:
    talk = Conversation()
    failed = exchange(talk, "one", "", State.FAILED)
    again = talk.regenerate(failed, "m")
    assert not talk.has(failed)
    talk.add(again, "half")
    talk.end(again, Ending(State.CUT))
    talk.regenerate(again, "m")
    assert talk.entries()[-1]["branch"] == {"index": 1, "count": 2}


def test_an_answer_grows_on_a_branch_that_is_not_on_screen() -> None:
    view = View()
    talk = Conversation()
    feed = EventFeed(view.take)
    feed.show(talk)
    feed.replay()
    first = exchange(talk, "one", "first")
    second = talk.regenerate(first, "m")
    talk.switch(second, -1)
    talk.add(second, "second")
    assert (view.entries[-1]["text"], view.busy) == ("first", True)
    talk.end(second, Ending(State.DONE))
    assert (view.entries[-1]["text"], view.busy) == ("first", False)
    talk.switch(first, 1)
    assert view.entries[-1]["text"] == "second"


def test_what_comes_after_the_end_or_for_a_deleted_answer_is_dropped() -> None:
    talk = Conversation()
    answer = exchange(talk, "one", "1")
    talk.add(answer, "late")
    talk.set_call(answer, Call(id="c", name="f"))
    talk.end(answer, Ending(State.FAILED))
    assert (talk.answer(answer).text, talk.answer(answer).state, talk.answer(answer).calls) == ("1", State.DONE, [])
    with pytest.raises(KeyError):
        talk.edit(answer, "not a prompt", "m")


def test_a_document_whose_kernel_died_comes_back_with_cut_answers_and_ended_calls() -> None:
    talk = Conversation()
    answer = talk.ask("one", "m")
    talk.add(answer, "half")
    talk.set_call(answer, Call(id="c", name="f", state=CallState.RUNNING))
    again = Conversation(recover(parse(talk.encode())))
    assert not again.busy
    entry = again.entries()[-1]
    assert (entry["text"], entry["state"], entry["retry"]) == ("half", "cut", True)
    assert "kernel ended" in entry["reason"]
    assert entry["calls"][0]["state"] == "failed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no conversation"),
        ("[1, 2]", "no conversation"),
        ('{"cells": []}', "no conversation"),
        ('{"version": 7, "id": "x", "nodes": []}', "form 7"),
        ('{"version": 1, "id": "x"}', "unexpected form"),
        ('{"version": 1, "id": "x", "nodes": [{"role": "dog", "id": "a", "parent": null}]}', r"nodes\[0\].role"),
        ('{"version": 1, "id": "x", "nodes": [{"role": "user", "id": "a", "parent": "b"}]}', "come before"),
        ('{"version": 1, "id": "x", "nodes": [], "current": "b"}', "current"),
        (
            '{"version": 1, "id": "x", "nodes": [{"role": "user", "id": "a", "parent": null},'
            '{"role": "user", "id": "a", "parent": null}]}',
            "the id 'a'",
        ),
    ],
)
def test_what_is_no_conversation_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        parse(text)


def test_a_title_is_the_beginning_of_the_first_prompt_cut_between_words() -> None:
    assert title_of("  What is\n the sea?") == "What is the sea?"
    assert title_of("word " * 30) == "word " * 11 + "word …"
    assert title_of("x" * 100) == "x" * 60 + " …"
    talk = Conversation()
    exchange(talk, "First prompt", "1")
    exchange(talk, "Second prompt", "2")
    assert talk.title == "First prompt"
    with pytest.raises(ValueError, match="blank"):
        talk.rename(" \n ")


def test_a_title_follows_the_first_prompt_on_screen_until_somebody_names_it() -> None:
    talk = Conversation()
    exchange(talk, "Three primes", "2 3 5")
    first = talk.entries()[0]["id"]
    talk.end(talk.edit(first, "Four primes", "m"), Ending(State.DONE))
    assert talk.title == "Four primes"
    talk.switch(talk.entries()[0]["id"], -1)
    assert talk.title == "Three primes"
    talk = Conversation(parse(talk.encode()))
    talk.end(talk.edit(first, "Five primes", "m"), Ending(State.DONE))
    assert talk.title == "Five primes"
    talk.rename("Primes")
    talk = Conversation(parse(talk.encode()))
    talk.end(talk.edit(first, "Six primes", "m"), Ending(State.DONE))
    assert talk.title == "Primes"


def test_half_surrogate_pairs_of_a_browser_do_no_harm() -> None:
    talk = Conversation()
    talk.ask("half \ud83d pair", "m")
    assert parse(talk.encode()).nodes[0].text == "half ? pair"
