"""Variables, kept conversations and cells in the chat panel's script alone, with a pretended model as kernel."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.browser.pretend import PretendedView, answer, begin, prompt

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


def test_a_list_that_comes_late_takes_no_title_away_that_is_being_typed(view: PretendedView) -> None:
    page = view.page
    view.reply("conversations", {"items": ITEMS, "current": "c1"})
    view.reply("rename", {"id": "c2"})
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.get_by_label("Rename Storms").click()
    title = page.get_by_label("New title")
    title.fill("Gales")
    page.get_by_label("Search conversations").dispatch_event("input")
    page.wait_for_function("window.sent.filter((one) => one.type === 'conversations').length === 2")
    expect(title).to_have_value("Gales")
    expect(title).to_be_focused()
    title.press("Enter")
    expect(title).to_have_count(0)
    assert view.sent("rename")[0]["title"] == "Gales"


def test_buttons_leave_the_title_free_where_nothing_hovers(browser: Browser) -> None:
    page = browser.new_context(viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True).new_page()
    view = PretendedView(page).render()
    view.reply("conversations", {"items": [ITEMS[0] | {"title": "A long title of many words" * 3}], "current": "c1"})
    page.get_by_role("button", name="Conversations", exact=True).tap()
    rename = page.get_by_role("button", name="Rename A long")
    assert rename.evaluate("(node) => getComputedStyle(node.parentElement).opacity") == "1"
    text_ends = page.locator(".lab-chat-conversation-title").evaluate(
        "(node) => node.getBoundingClientRect().right - parseFloat(getComputedStyle(node).paddingRight)"
    )
    box = rename.bounding_box()
    assert box
    assert text_ends <= box["x"]
    page.context.close()


def test_a_conversation_opens_with_a_word_about_a_copy_and_a_broken_one_does_not(view: PretendedView) -> None:
    page = view.page
    view.reply("conversations", {"items": ITEMS, "current": "c1"})
    view.reply("open", {"id": "c2", "note": "It is a copy."})
    page.get_by_role("button", name="Conversations", exact=True).click()
    expect(page.get_by_label("Search conversations")).to_be_focused()
    expect(page.locator(".lab-chat-conversation").nth(2)).to_be_disabled()
    expect(page.get_by_text("It is broken.")).to_be_visible()
    page.get_by_role("button", name="Storms", exact=False).first.click()
    expect(page.locator(".lab-chat-drawer")).to_be_hidden()
    expect(page.locator(".lab-chat-note")).to_have_text("It is a copy.")


def test_a_file_that_cannot_be_imported_is_named(view: PretendedView) -> None:
    page = view.page
    view.reply("conversations", {"items": ITEMS, "current": "c1"})
    view.reply("import", {"ok": False, "reason": "ships.json cannot be imported.", "remedy": "Look."})
    page.get_by_role("button", name="Conversations", exact=True).click()
    file: FilePayload = {"name": "ships.json", "mimeType": "application/json", "buffer": b'{"version": 1}'}
    page.get_by_label("File to import").set_input_files(files=[file])
    expect(page.locator(".lab-chat-drawer-note")).to_have_text("ships.json cannot be imported. Look.")


def test_code_is_copied_where_nobody_inserts_cells(view: PretendedView) -> None:
    page = view.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.event("path", keep=1, entries=[answer(5, "```python\nprint(1)\n```\n\n```bash\nls\n```")], busy=False)
    page.get_by_label("Insert into a new cell", exact=True).last.click()
    expect(page.locator(".lab-chat-note")).to_contain_text("paste it into a new cell")
    assert page.evaluate("navigator.clipboard.readText()") == "%%bash\nls"
