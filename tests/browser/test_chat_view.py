"""The chat panel's script alone, in a page with a pretended model in place of a kernel."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.pretend import CONVERSATION, PretendedView, answer, user

pytestmark = pytest.mark.ui

ITEMS = [
    {"id": "c1", "title": "Ships", "updated": "2026-01-02T00:00:00Z", "entries": 2, "snippet": "", "problem": ""},
    {
        "id": "c2",
        "title": "Storms",
        "updated": "2026-01-01T00:00:00Z",
        "entries": 1,
        "snippet": "… wind …",
        "problem": "",
    },
    {
        "id": "c3",
        "title": "",
        "updated": "2025-01-01T00:00:00Z",
        "entries": 0,
        "snippet": "",
        "problem": "It is broken.",
    },
]


@pytest.fixture
def view(page: Page) -> PretendedView:
    """A panel that has its replay: one prompt with its answer."""
    made = PretendedView(page).render()
    made.replay(user(1, "First?"), answer(2, "First *answer*."))
    return made


def prompt(view: PretendedView) -> Locator:
    return view.page.get_by_label("Prompt", exact=True)


def begin(view: PretendedView, text: str = "Next?", keep: int = 2) -> None:
    view.event("path", keep=keep, entries=[user(3, text), answer(4, state="streaming")], busy=True)


def end(view: PretendedView, **fields: Any) -> None:
    entry = answer(4, **fields)
    del entry["text"]
    view.event("end", answer=entry, busy=False)


def last_answer(view: PretendedView) -> Locator:
    return view.page.locator(".lab-chat-answer").last


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


def test_shift_enter_starts_a_line_and_escape_stops(view: PretendedView) -> None:
    prompt(view).press_sequentially("one")
    prompt(view).press("Shift+Enter")
    prompt(view).press_sequentially("two")
    expect(prompt(view)).to_have_value("one\ntwo")
    begin(view)
    prompt(view).press("Escape")
    assert view.sent("stop") == [{"type": "stop"}]


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


def test_escape_leaves_the_editor_without_a_change(view: PretendedView) -> None:
    view.page.get_by_label("Edit the prompt and ask again").click()
    view.page.get_by_label("Edited prompt").fill("x")
    view.page.keyboard.press("Escape")
    expect(view.page.locator(".lab-chat-bubble")).to_have_text("First?")
    assert not view.sent("edit")
    assert not view.sent("stop")


def test_answers_are_asked_for_again_and_versions_switched(view: PretendedView) -> None:
    view.page.get_by_label("Answer again").click()
    assert view.sent("regenerate") == [{"type": "regenerate", "id": "e2"}]
    view.event("path", keep=1, entries=[answer(5, "Second", branch={"index": 1, "count": 2})], busy=False)
    expect(view.page.locator(".lab-chat-branch-place")).to_have_text("2/2")
    expect(view.page.get_by_label("Next version")).to_be_disabled()
    view.page.get_by_label("Previous version").click()
    assert view.sent("branch") == [{"type": "branch", "id": "e5", "step": -1}]


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


def test_no_retry_is_offered_where_it_cannot_help(view: PretendedView) -> None:
    begin(view)
    end(view, state="failed", reason="The prompt is too long.", remedy="Shorten it.", retry=False)
    expect(last_answer(view).locator(".lab-chat-fault")).to_contain_text("No answer. The prompt is too long.")
    expect(view.page.get_by_role("button", name="Try again")).to_have_count(0)


def test_the_figures_stand_below_the_answer(view: PretendedView) -> None:
    begin(view)
    figures = {"first_token_s": 0.214, "tokens_per_s": 87.3, "prompt_tokens": 1240, "completion_tokens": 366}
    end(view, figures=figures | {"cost": 0.000043, "finish_reason": "stop"})
    expect(last_answer(view).locator(".lab-chat-figures")).to_have_text(
        "first token 0.21 s87 tokens/s1,240 in, 366 out$0.000043"
    )


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


def test_an_at_sign_completes_a_variable_and_attaches_it(view: PretendedView) -> None:
    items = [
        {"name": "data", "kind": "dict", "summary": "3 keys"},
        {"name": "df", "kind": "DataFrame", "summary": "5 rows, 2 columns"},
    ]
    view.reply("complete", {"items": items})
    view.reply("preview", {"items": [], "tokens": 120, "cost": 0.0004, "limit": 2048})
    prompt(view).press_sequentially("Sum up @d")
    options = view.page.locator(".lab-chat-option")
    expect(options).to_have_count(2)
    assert view.sent("complete")[-1]["prefix"] == "d"
    prompt(view).press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    assert prompt(view).get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    prompt(view).press("Enter")
    expect(prompt(view)).to_have_value("Sum up @df ")
    expect(view.page.get_by_role("listitem").filter(has_text="@df")).to_be_visible()
    expect(view.page.locator(".lab-chat-preview-figure")).to_have_text("≈ 120 tokens · $0.0004")
    prompt(view).press("Enter")
    assert view.sent("ask") == [{"type": "ask", "text": "Sum up @df ", "attachments": ["df"]}]
    begin(view, "Sum up @df ")
    expect(view.page.get_by_role("listitem").filter(has_text="@df")).to_have_count(0)


def test_an_attached_variable_can_be_taken_off(view: PretendedView) -> None:
    view.reply("complete", {"items": [{"name": "df", "kind": "DataFrame", "summary": ""}]})
    view.page.get_by_label("Attach a variable of the notebook").click()
    view.page.locator(".lab-chat-option").click()
    view.page.get_by_label("Do not attach df").click()
    prompt(view).fill("Hello")
    prompt(view).press("Enter")
    assert view.sent("ask")[0]["attachments"] == []


def test_escape_closes_the_completion_and_stops_nothing(view: PretendedView) -> None:
    view.reply("complete", {"items": [{"name": "df", "kind": "DataFrame", "summary": ""}]})
    begin(view)
    prompt(view).press_sequentially("@")
    expect(view.page.locator(".lab-chat-option")).to_be_visible()
    prompt(view).press("Escape")
    expect(view.page.locator(".lab-chat-option")).to_be_hidden()
    assert not view.sent("stop")


def test_the_preview_shows_exactly_what_is_sent(view: PretendedView) -> None:
    items = [
        {"name": "conversation so far", "kind": "history", "text": "user: First?", "tokens": 20},
        {"name": "df", "kind": "DataFrame", "text": "day  spend", "tokens": 3000},
    ]
    view.reply("preview", {"items": items, "tokens": 3020, "cost": None, "limit": 2048})
    prompt(view).fill("Sum up")
    view.page.get_by_label("Show exactly what will be sent").click()
    region = view.page.get_by_role("region", name="What will be sent")
    expect(region).to_contain_text("About 3,020 of the 2,048 tokens")
    expect(region).to_contain_text("more than the model takes")
    expect(region.get_by_text("day  spend")).to_be_visible()
    expect(region.get_by_text("user: First?")).to_be_hidden()
    region.get_by_text("conversation so far").click()
    expect(region.get_by_text("user: First?")).to_be_visible()


def test_conversations_are_found_opened_renamed_and_removed(view: PretendedView) -> None:
    page = view.page
    view.reply("conversations", {"items": ITEMS, "current": "c1"})
    for kind in ("open", "rename", "remove", "new"):
        view.reply(kind, {"id": "c2", "note": "It is a copy."})
    page.get_by_role("button", name="Conversations", exact=True).click()
    expect(page.get_by_label("Search conversations")).to_be_focused()
    expect(page.locator(".lab-chat-conversation")).to_have_count(3)
    expect(page.locator(".lab-chat-conversation").nth(2)).to_be_disabled()
    expect(page.get_by_text("It is broken.")).to_be_visible()
    page.get_by_label("Search conversations").fill("wind")
    page.wait_for_function("window.sent.some((one) => one.type === 'conversations' && one.query === 'wind')")
    page.get_by_label("Rename Storms").click()
    page.get_by_label("New title").fill("Gales")
    page.get_by_label("New title").press("Enter")
    page.wait_for_function("window.sent.some((one) => one.type === 'rename')")
    renamed = view.sent("rename")[0]
    assert (renamed["id"], renamed["title"]) == ("c2", "Gales")
    page.get_by_label("Remove Storms").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
    page.wait_for_function("window.sent.some((one) => one.type === 'remove')")
    page.get_by_role("button", name="Storms", exact=False).first.click()
    page.wait_for_function("window.sent.some((one) => one.type === 'open')")
    expect(page.locator(".lab-chat-drawer")).to_be_hidden()
    expect(page.locator(".lab-chat-note")).to_have_text("It is a copy.")


def test_conversations_are_exported_and_imported(view: PretendedView) -> None:
    page = view.page
    view.reply("conversations", {"items": ITEMS, "current": "c1"})
    view.reply("export", {"name": "ships.md", "mime": "text/markdown", "text": "# Ships"})
    view.reply("import", [{"id": "c9"}, {"ok": False, "reason": "ships.json cannot be imported.", "remedy": "Look."}])
    view.reply("open", {"id": "c9", "note": ""})
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.get_by_label("Export Ships").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Markdown").click()
    assert download.value.suggested_filename == "ships.md"
    assert download.value.path().read_text(encoding="utf-8") == "# Ships"
    file = {"name": "ships.json", "mimeType": "application/json", "buffer": b'{"version": 1}'}
    page.get_by_label("File to import").set_input_files(files=[file])  # type: ignore[list-item]
    expect(page.locator(".lab-chat-drawer")).to_be_hidden()
    sent = view.sent("import")[0]
    assert (sent["name"], sent["text"]) == ("ships.json", '{"version": 1}')
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.get_by_label("File to import").set_input_files(files=[file])  # type: ignore[list-item]
    expect(page.locator(".lab-chat-drawer-note")).to_have_text("ships.json cannot be imported. Look.")


def test_code_goes_to_whoever_inserts_cells_and_is_copied_otherwise(view: PretendedView) -> None:
    page = view.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.event("path", keep=1, entries=[answer(5, "```python\nprint(1)\n```\n\n```bash\nls\n```")], busy=False)
    page.evaluate(
        """() => {
          window.inserted = [];
          window.listener = (event) => {
            event.preventDefault();
            const {code, language, run, done} = event.detail;
            window.inserted.push({code, language, run, panel: event.target.className});
            done(true);
          };
          document.addEventListener("genailabs:insert-cell", window.listener);
        }"""
    )
    page.get_by_label("Insert into a new cell and run it").first.click()
    page.get_by_label("Insert into a new cell", exact=True).last.click()
    assert page.evaluate("window.inserted") == [
        {"code": "print(1)", "language": "python", "run": True, "panel": "lab-chat"},
        {"code": "%%bash\nls", "language": "bash", "run": False, "panel": "lab-chat"},
    ]
    expect(page.get_by_text("Running", exact=True)).to_be_visible()
    page.evaluate("document.removeEventListener('genailabs:insert-cell', window.listener)")
    page.get_by_label("Insert into a new cell", exact=True).first.click()
    expect(page.locator(".lab-chat-note")).to_contain_text("paste it into a new cell")
    assert page.evaluate("navigator.clipboard.readText()") == "print(1)"


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
    banner = view.page.locator(".lab-chat-banner").first
    expect(banner).to_be_hidden()
    view.page.evaluate("""model.set("status", {state: "down", reason: "No hub.", remedy: "Start it."})""")
    expect(banner).to_have_text("No hub. Start it.")
    expect(view.page.locator(".lab-chat-status")).to_have_text("Not connected")
    view.page.evaluate("""model.set("saving", {state: "failed", reason: "Disk full.", remedy: "Make room."})""")
    expect(view.page.locator(".lab-chat-saving")).to_have_text("Disk full. Make room.")


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
