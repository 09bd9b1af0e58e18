"""Prompts, answers and tool calls in the chat panel's script alone, with a pretended model in place of a kernel."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.pretend import CONVERSATION, PretendedView, answer, begin, end, last_answer, prompt, user

pytestmark = pytest.mark.ui


def test_a_prompt_leaves_the_field_when_it_is_taken(view: PretendedView) -> None:
    prompt(view).fill("Next?")
    prompt(view).press("Enter")
    assert view.sent("ask") == [{"type": "ask", "text": "Next?", "attachments": []}]
    expect(prompt(view)).to_have_value("Next?")
    begin(view)
    expect(prompt(view)).to_have_value("")
    expect(view.page.get_by_role("button", name="Stop")).to_be_enabled()


def test_a_prompt_whose_event_was_lost_leaves_the_field_with_the_replay(view: PretendedView) -> None:
    prompt(view).fill("Next?")
    prompt(view).press("Enter")
    view.seq += 2
    view.fire({"type": "delta", "seq": view.seq, "id": "e4", "text": "b"})
    assert view.sent("replay")
    view.replay(user(1, "First?"), answer(2, "A"), user(3, "Next?"), answer(4, "ab", "streaming"), busy=True)
    expect(prompt(view)).to_have_value("")
    expect(last_answer(view).locator(".lab-chat-body")).to_have_text("ab")


def test_a_silent_kernel_is_worth_a_word(view: PretendedView) -> None:
    prompt(view).fill("Anybody there?")
    prompt(view).press("Enter")
    expect(view.page.get_by_text("The kernel is busy or gone")).to_be_visible()
    expect(prompt(view)).to_have_value("Anybody there?")


def test_a_kernel_that_is_gone_is_said_where_one_types_and_swallows_nothing(view: PretendedView) -> None:
    silent = view.page.locator(".lab-chat-silent")
    prompt(view).fill("Anybody there?")
    view.fall_silent()
    expect(silent).to_contain_text("The kernel does not answer.", timeout=6000)
    prompt(view).press("Enter")
    assert not view.sent("ask")
    expect(view.page.get_by_role("button", name="Send")).to_be_disabled()
    expect(prompt(view)).to_have_value("Anybody there?")
    view.fall_silent(False)
    expect(silent).to_be_hidden()
    assert view.sent("replay"), "what came meanwhile is asked for"
    prompt(view).press("Enter")
    assert len(view.sent("ask")) == 1


NOTEBOOK = """() => document.addEventListener("genailabs:kernel", ({ detail }) => {
  const evaluate = async (expression) => {
    if (expression.includes("offered")) return JSON.stringify([{ name: "frogs", kind: "list", summary: "list" }]);
    if (window.gone) throw new Error("no variable frogs");
    return JSON.stringify([{ name: "frogs", kind: "list", text: "frogs is []", tokens: 3 }]);
  };
  detail.notebook = { name: "frogs.ipynb", cell: "1 / 0", evaluate };
})"""


def test_a_notebook_beside_the_chat_tells_what_goes_along_and_nothing_is_sent_without(view: PretendedView) -> None:
    page = view.page
    page.evaluate(NOTEBOOK)
    prompt(view).press_sequentially("@f")
    page.get_by_role("option", name="frogs").wait_for()
    prompt(view).press("Enter")
    page.evaluate("window.gone = true")
    prompt(view).press("Enter")
    expect(page.get_by_text("The prompt was not sent").last).to_be_visible()
    assert not view.sent("ask")
    expect(prompt(view)).to_have_value("@frogs ")
    page.evaluate("window.gone = false")
    prompt(view).press("Enter")
    page.wait_for_function("window.sent.some((message) => message.type === 'ask')")
    [asked] = view.sent("ask")
    assert (asked["attachments"], [one["text"] for one in asked["attached"]]) == ([], ["frogs is []"])


def test_a_question_about_state_is_asked_again(view: PretendedView) -> None:
    view.page.get_by_role("button", name="Conversations", exact=True).click()
    asked = "window.sent.filter((message) => message.type === 'conversations').length"
    view.page.wait_for_function(f"{asked} > 1")
    view.reply("conversations", {"items": [], "total": 0, "current": "c1"})
    expect(view.page.get_by_text("No conversation is kept yet.")).to_be_visible()


def test_an_answer_at_its_limit_can_be_continued(view: PretendedView) -> None:
    begin(view)
    end(view, figures={"finish_reason": "length"})
    view.page.get_by_role("button", name="Continue").click()
    assert view.sent("ask") == [{"type": "ask", "text": "Continue exactly where you stopped.", "attachments": []}]


def test_a_draft_survives_another_display_and_belongs_to_its_conversation(view: PretendedView) -> None:
    prompt(view).fill("half a thou")
    view.render()
    view.replay(user(1, "First?"))
    expect(prompt(view)).to_have_value("half a thou")
    view.event("path", keep=0, entries=[], busy=False, conversation={"id": "c2", "title": "Other"})
    expect(prompt(view)).to_have_value("")
    view.event("path", keep=0, entries=[], busy=False, conversation=CONVERSATION)
    expect(prompt(view)).to_have_value("half a thou")


def test_the_arrow_key_edits_the_last_prompt_as_a_new_branch(view: PretendedView) -> None:
    prompt(view).press("ArrowUp")
    field = view.page.get_by_label("Edited prompt")
    expect(field).to_be_focused()
    field.fill("First, better?")
    field.press("Enter")
    assert view.sent("edit") == [{"type": "edit", "id": "e1", "text": "First, better?"}]
    expect(field).to_have_count(0)
    expect(prompt(view)).to_be_focused()
    view.page.get_by_label("Edit the prompt and ask again").click()
    field.fill("x")
    field.press("Escape")
    expect(view.page.locator(".lab-chat-bubble")).to_have_text("First?")
    assert len(view.sent("edit")) == 1
    assert not view.sent("stop")


def test_deleting_asks_first_and_says_what_goes_with_it(view: PretendedView) -> None:
    view.page.get_by_label("Delete the prompt").click()
    question = view.page.get_by_role("alertdialog")
    expect(question).to_have_accessible_name("Delete this prompt and the entry after it?")
    expect(question.get_by_role("button", name="Keep")).to_be_focused()
    question.press("Escape")
    expect(question).to_have_count(0)
    assert not view.sent("delete")
    view.page.get_by_label("Delete the prompt").click()
    question.get_by_role("button", name="Delete").click()
    assert view.sent("delete") == [{"type": "delete", "id": "e1"}]


def test_nothing_that_changes_the_conversation_happens_while_an_answer_comes(view: PretendedView) -> None:
    begin(view)
    again = view.page.get_by_label("Answer again").first
    expect(again).to_be_disabled()
    again.press("Enter")
    expect(view.page.locator(".lab-chat-note")).to_contain_text("wait for it or stop it")
    assert not view.sent("regenerate")


def test_a_prompt_without_an_answer_offers_one(view: PretendedView) -> None:
    button = view.page.get_by_role("button", name="Get an answer")
    expect(button).to_be_hidden()
    view.event("path", keep=1, entries=[], busy=False)
    button.click()
    assert view.sent("regenerate") == [{"type": "regenerate", "id": "e1"}]


def test_a_cut_answer_keeps_its_text_says_why_and_can_be_retried(view: PretendedView) -> None:
    begin(view)
    view.event("delta", id="e4", text="Half an")
    end(view, state="cut", reason="The hub died.", remedy="Start it.", retry=True)
    fault = last_answer(view).locator(".lab-chat-fault")
    expect(fault).to_contain_text("Answer cut. The hub died.")
    expect(fault).to_contain_text("Start it.")
    expect(last_answer(view).locator(".lab-chat-body")).to_have_text("Half an")
    fault.get_by_role("button", name="Try again").click()
    assert view.sent("retry") == [{"type": "retry", "id": "e4"}]
    begin(view)
    end(view, state="failed", reason="The prompt is too long.", remedy="Shorten it.", retry=False)
    expect(fault).to_contain_text("No answer. The prompt is too long.")
    expect(view.page.get_by_role("button", name="Try again")).to_have_count(0)


def test_screen_readers_hear_starts_and_ends_only(view: PretendedView) -> None:
    view.page.evaluate(
        """() => {
          const live = document.querySelector("[aria-live=polite]");
          window.said = [];
          const hear = () => window.said.push(live.textContent);
          new MutationObserver(hear).observe(live, {childList: true, characterData: true, subtree: true});
        }"""
    )
    begin(view)
    for word in ("One ", "two ", "three."):
        view.event("delta", id="e4", text=word)
    end(view)
    expect(last_answer(view)).to_have_attribute("data-state", "done")
    assert view.page.evaluate("window.said") == ["m is answering.", "The answer is complete."]
    assert view.page.locator("[role=log]").get_attribute("aria-live") == "off"


def test_a_tool_call_is_shown_where_it_was_made_and_waits_for_an_answer(view: PretendedView) -> None:
    begin(view)
    view.event("delta", id="e4", text="Let me look 🌊.")
    call = {
        "id": "t",
        "name": "load",
        "arguments": '{"path": "a.csv"}',
        "state": "asking",
        "result": "",
        "at": 14,
        "round": 0,
    }
    view.event("call", id="e4", call=call, state="waiting")
    asked = view.page.get_by_role("group", name="Tool load")
    expect(asked).to_contain_text("a.csv")
    expect(view.page.get_by_role("button", name="Deny")).to_be_visible()
    view.page.get_by_role("button", name="Always allow").click()
    sent = {"type": "approve", "id": "e4", "call": "t", "allow": True, "always": True}
    assert view.sent("approve") == [sent]
    view.event("call", id="e4", call=call | {"state": "done", "result": "3 rows"}, state="streaming")
    view.event("delta", id="e4", text="It has three rows.")
    end(view, calls=[call | {"state": "done", "result": "3 rows"}])
    expect(asked.locator("details")).not_to_have_attribute("open", "")
    live = last_answer(view).locator(".lab-chat-body").inner_html()
    assert live.index("look") < live.index("load") < live.index("three rows")
    whole = answer(4, "Let me look 🌊.It has three rows.", calls=[call | {"state": "done", "result": "3 rows"}])
    view.replay(user(1, "p"))
    view.seq += 1
    view.replay(user(3, "p"), whole)
    assert last_answer(view).locator(".lab-chat-body").inner_html() == live
