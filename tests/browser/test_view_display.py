"""UsageMeters, settings, scrolling and layout in the chat panel's script alone, with a pretended model as kernel."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pretend import STATIC, PretendedView, answer, begin, last_answer, user

pytestmark = pytest.mark.ui


def test_copy_takes_the_answer_as_it_was_written(view: PretendedView) -> None:
    page = view.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Copy the answer").click()
    expect(page.locator(".lab-chat-note")).to_have_text("The answer is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "First *answer*."


def test_meters_show_context_and_budget_and_nothing_that_is_not_known(view: PretendedView) -> None:
    meters = view.page.locator(".lab-chat-meters")
    expect(meters).to_be_empty()
    view.page.evaluate("""model.set("meters", {spend: 4.2, max_budget: 5, context_used: 2000, context_limit: 2048})""")
    expect(meters).to_contain_text("98 %")
    expect(meters).to_contain_text("$0.8 left")
    expect(meters.get_by_role("meter").first).to_have_attribute("aria-valuenow", "98")
    view.page.evaluate("""model.set("meters", {spend: 0.5, max_budget: null, context_limit: null})""")
    expect(meters).to_have_text("$0.5 spent")


def test_the_status_says_what_is_wrong_and_what_to_do(view: PretendedView) -> None:
    banner = view.page.locator(".lab-chat-banner")
    expect(banner).to_be_hidden()
    view.page.evaluate("""model.set("status", {state: "down", reason: "No hub.", remedy: "Start it."})""")
    expect(banner).to_have_text("No hub. Start it.")
    expect(view.page.locator(".lab-chat-status")).to_have_text("Not connected")
    view.page.evaluate(
        """model.set("status", {state: "over_budget", reason: "Used up.", remedy: "Renews on 1 May."})"""
    )
    expect(view.page.locator(".lab-chat-status")).to_have_text("Budget used up")
    expect(banner).to_have_text("Used up. Renews on 1 May.")
    view.page.evaluate("""model.set("saving", {state: "failed", reason: "Disk full.", remedy: "Make room."})""")
    expect(view.page.locator(".lab-chat-saving")).to_have_text("Disk full. Make room.")


def test_a_typed_key_goes_to_the_kernel_and_stays_nowhere_on_the_page(view: PretendedView) -> None:
    view.page.get_by_label("Settings").click()
    field = view.page.get_by_label("Key for the hub")
    expect(field).to_have_attribute("type", "password")
    field.fill("sk-mine")
    field.press("Enter")
    field.blur()
    assert view.sent("key") == [{"type": "key", "key": "sk-mine"}]
    expect(field).to_have_value("")
    assert "sk-mine" not in view.page.content()


def test_settings_say_default_until_they_are_set_and_again_after_a_reset(view: PretendedView) -> None:
    page = view.page
    page.get_by_label("Settings").click()
    settings = page.locator(".lab-chat-settings")
    expect(settings).to_contain_text("hub's default")
    page.get_by_label("Temperature").fill("0.5")
    assert page.evaluate("window.model.get('temperature')") == 0.5
    expect(settings).to_contain_text("0.50")
    page.get_by_role("button", name="reset").click()
    assert page.evaluate("window.model.get('temperature')") is None
    longest = page.get_by_label("Longest answer in tokens")
    for typed, expected in [("50", 50), ("-3", None), ("7.9", 7), ("", None)]:
        longest.fill(typed)
        longest.press("Tab")
        assert page.evaluate("window.model.get('max_tokens')") == expected


def test_a_long_history_opens_drawn_only_where_it_is_seen(view: PretendedView) -> None:
    text = "Some **bold** text.\n\n" * 20
    entries = [entry for pair in range(250) for entry in (user(2 * pair, "p"), answer(2 * pair + 1, text))]
    view.seq += 1
    view.replay(*entries)
    page = view.page
    expect(page.locator(".lab-chat-entry")).to_have_count(500)
    expect(last_answer(view).locator("strong")).to_have_count(20)
    drawn = page.locator(".lab-chat-answer .lab-chat-body")
    assert drawn.count() < 30
    log = page.locator(".lab-chat-log")
    expect(last_answer(view).locator(".lab-chat-foot")).to_be_in_viewport()
    log.evaluate("(log) => { log.scrollTop = 0; }")
    expect(page.locator(".lab-chat-answer").first.locator("strong")).to_have_count(20)
    page.get_by_label("Go to the end of the conversation").click()
    expect(last_answer(view).locator(".lab-chat-foot")).to_be_in_viewport()


def test_a_conversation_opens_at_its_very_end(view: PretendedView) -> None:
    text = "# Head\n\nSome **bold** text with `code`.\n\n```python\nx = 1\n```\n\n| a |\n|---|\n| b |\n\n" * 6
    entries = [entry for pair in range(30) for entry in (user(2 * pair, "p" * 300), answer(2 * pair + 1, text))]
    entries[-1] |= {"state": "cut", "reason": "The hub died.", "remedy": "Start it.", "retry": True}
    view.event("path", keep=0, entries=entries, busy=False, conversation={"id": "c2", "title": "Long"})
    page = view.page
    expect(page.get_by_role("button", name="Try again")).to_be_in_viewport(ratio=1)
    # What is drawn late above changes its size: the end stays where it is.
    page.wait_for_function(
        "[...document.querySelectorAll('.lab-chat-answer')].slice(-10).every((node) => node.entry.body)"
    )
    at_end = "(log) => log.scrollHeight - log.scrollTop - log.clientHeight < 2"
    page.wait_for_function(f"({at_end})(document.querySelector('.lab-chat-log'))")


def test_the_view_follows_the_answer_unless_the_reader_scrolls_up(view: PretendedView) -> None:
    page = view.page
    log = page.locator(".lab-chat-log")
    begin(view)
    for number in range(60):
        view.event("delta", id="e4", text=f"Paragraph {number}.\n\n")
    expect(page.get_by_text("Paragraph 59.")).to_be_in_viewport()
    log.hover()
    page.mouse.wheel(0, -600)
    expect(page.get_by_text("Paragraph 59.")).not_to_be_in_viewport()
    page.wait_for_function(
        "(top) => top === document.querySelector('.lab-chat-log').scrollTop", arg=log.evaluate("(log) => log.scrollTop")
    )
    before = log.evaluate("(log) => log.scrollTop")
    for number in range(60, 80):
        view.event("delta", id="e4", text=f"Paragraph {number}.\n\n")
    expect(page.get_by_text("Paragraph 79.")).to_be_attached()
    assert log.evaluate("(log) => log.scrollTop") == before


def test_toolbars_are_one_stop_and_arrows_go_along(view: PretendedView) -> None:
    page = view.page
    page.get_by_label("Copy the answer").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Answer again")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Answer again")).not_to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Answer again")).to_be_focused()


@pytest.mark.parametrize("width", [280, 320, 700])
def test_nothing_sticks_out_of_a_narrow_panel(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    view = PretendedView(
        page, model="a-model-with-a-very-long-name-indeed", meters={"spend": 1, "max_budget": 5}
    ).render()
    text = (
        "`a_very_long_name_"
        + "x" * 90
        + "`\n\n| a | b |\n|---|---|\n| "
        + "y" * 80
        + " | z |\n\n```py\n"
        + "z" * 120
        + "\n```"
    )
    view.replay(user(1, "w" * 80), answer(2, text, figures={"first_token_s": 1, "tokens_per_s": 20, "cost": 0.001}))
    expect(page.locator(".lab-hl-none, .lab-chat-code")).to_have_count(1)
    wide = page.evaluate(
        """(parts) => [...document.querySelectorAll(parts)]
          .filter((node) => node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.className)""",
        ".lab-chat-header *, .lab-chat-composer *, .lab-chat-entry, .lab-chat-foot",
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_signs_of_display_formulas_are_large_and_their_limits_apart(view: PretendedView) -> None:
    view.reply("module", {"buffers": [(STATIC / "math.js").read_text(encoding="utf-8")]})
    view.seq += 1
    view.replay(user(1, "?"), answer(2, "$$\\sum_{i=1}^{n} i$$"))
    sign = view.page.locator("math munderover")
    expect(sign).to_have_count(1)
    heights = [part.bounding_box() or {} for part in sign.locator("> *").all()]
    total, letter = heights[0]["height"], view.page.locator("math mi").last.bounding_box()
    assert letter
    assert total > 1.4 * letter["height"]
    assert heights[2]["y"] + heights[2]["height"] <= heights[0]["y"] + 1, "the upper limit stands above the sign"


OVERLAPS = """
(parts) => {
  const texts = [...document.querySelectorAll(parts.text)].map((node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return range.getBoundingClientRect();
  });
  const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return [...document.querySelectorAll(parts.controls)].filter((control) => control.checkVisibility())
    .filter((control) => texts.some((text) => over(control.getBoundingClientRect(), text)))
    .map((control) => control.ariaLabel || control.className);
}
"""
PROMPTS_OWN = ".lab-chat-prompt :is(button, .lab-chat-editor, .lab-chat-confirm)"
OVER_THE_NAME = {"text": ".lab-chat-name", "controls": PROMPTS_OWN}


@pytest.mark.parametrize("width", [216, 320, 460, 700])
def test_nothing_of_the_prompt_lies_on_the_name_of_the_model(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    view = PretendedView(page).render()
    long_name = "qwen2.5-coder-1.5b-instruct-q4-with-a-longer-name"
    view.replay(user(1, "Hm?", branch={"index": 1, "count": 2}), answer(2, "So.", model=long_name))
    edit = page.get_by_label("Edit the prompt and ask again")
    expect(edit).to_be_attached()
    assert page.evaluate(OVERLAPS, OVER_THE_NAME) == []
    page.get_by_label("Delete the prompt").click()
    assert page.evaluate(OVERLAPS, OVER_THE_NAME) == []
    page.keyboard.press("Escape")
    edit.click()
    expect(edit).to_be_hidden()
    assert page.evaluate(OVERLAPS, OVER_THE_NAME) == []
    page.keyboard.press("Escape")
    expect(edit).to_be_visible()


def compared(page: Page, models: str = "mno", text: str = "So.", **fields: Any) -> PretendedView:
    view = PretendedView(page, "compare").render()
    figures = {"tokens_per_s": 80.0}
    ended = [
        answer(2 + place, text, column=len(models) - 1 - place, round="r1", model=f"model-{name}", figures=figures)
        for place, name in enumerate(models)
    ]
    view.replay(user(1, "Prompt", round="r1", choice=None), *ended, **fields)
    return view


def test_the_names_of_compared_models_are_hidden_until_one_is_called_the_best(page: Page) -> None:
    view = compared(page)
    log = page.locator(".lab-chat-log")
    names = log.locator(".lab-chat-name")
    expect(names).to_have_text(["Answer A", "Answer B", "Answer C"])
    expect(log).not_to_contain_text("model-")
    expect(log.get_by_label("model-")).to_have_count(0)
    expect(log.get_by_text("tokens/s").first).to_be_hidden()
    vote = page.get_by_role("group", name="Which answer is the best?")
    assert vote.get_by_role("button").all_inner_texts() == ["Answer A", "Answer B", "Answer C", "No difference"]
    vote.get_by_role("button", name="Answer A").press("Enter")
    assert view.sent("choose") == [{"type": "choose", "round": "r1", "answer": "e4"}]
    view.event("choice", round="r1", choice="e4")
    expect(names).to_have_text(["model-o", "model-n", "model-m"])
    expect(page.get_by_text("You chose model-o.")).to_be_focused()
    expect(page.get_by_role("button", name="No difference")).to_have_count(0)
    expect(log.get_by_text("tokens/s").first).to_be_visible()


def test_of_two_compared_answers_one_is_better_and_none_while_they_come(page: Page) -> None:
    view = compared(page, "mn")
    page.get_by_role("group", name="Which answer is better?").get_by_role("button", name="No difference").click()
    assert view.sent("choose") == [{"type": "choose", "round": "r1", "answer": ""}]
    view.event("choice", round="r1", choice="")
    expect(page.get_by_text("You saw no difference.")).to_be_visible()
    later = [
        answer(8 + column, "", "streaming", column=column, round="r2", model=f"model-{column}") for column in (0, 1)
    ]
    view.event("path", keep=3, entries=[user(7, "Next", round="r2", choice=None), *later], busy=True)
    second = page.get_by_label("Round 2")
    expect(second.locator(".lab-chat-name")).to_have_text(["Answer A", "Answer B"])
    expect(second.get_by_role("button", name="No difference")).to_have_count(0)
    for column in (0, 1):
        entry = answer(8 + column, "", "failed", column=column, round="r2", model=f"model-{column}", reason="No.")
        view.event("end", answer=entry, busy=column == 0)
    expect(second.locator(".lab-chat-name")).to_have_text(["model-0", "model-1"])  # there is nothing to choose


def test_a_compared_answer_can_be_copied(page: Page) -> None:
    compared(page, "mn", "Some *text*.")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Copy the answer").first.click()
    expect(page.locator(".lab-chat-note")).to_have_text("The answer is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "Some *text*."


@pytest.mark.parametrize("width", [360, 1000])
def test_the_beginnings_of_long_compared_answers_are_seen_together(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    text = "# Beginning\n\n" + "A paragraph that goes on.\n\n" * 60
    compared(page, "mno", text)
    log = page.locator(".lab-chat-log")
    expect(log.locator("h1")).to_have_count(3)
    for beginning in log.locator("h1").all():
        expect(beginning).to_be_in_viewport(ratio=1)
    page.locator(".lab-chat-body").last.focus()
    page.keyboard.press("End")
    page.wait_for_function("[...document.querySelectorAll('.lab-chat-body')].at(-1).scrollTop > 100")


def test_compared_answers_stand_side_by_side_and_each_grows_on_its_own(page: Page) -> None:
    view = PretendedView(page, "compare").render()
    waiting = [answer(2 + column, "", "streaming", column=column, round="r1", model="mn"[column]) for column in (0, 1)]
    view.replay(user(1, "Prompt", round="r1"), *waiting, busy=True)
    view.event("delta", id="e3", text="Second.")
    answers = page.locator(".lab-chat-answer")
    expect(answers.nth(1).locator(".lab-chat-body")).to_have_text("Second.")
    expect(answers.nth(0).locator(".lab-chat-body")).to_have_text("")
    left, right = (answers.nth(number).bounding_box() for number in (0, 1))
    assert left
    assert right
    assert left["y"] == pytest.approx(right["y"], abs=2)
    assert right["x"] >= left["x"] + left["width"]
