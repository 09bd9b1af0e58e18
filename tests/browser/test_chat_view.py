"""The panel's script alone, in a page with a pretended model in place of a kernel."""

from __future__ import annotations

import random
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from widgets import ChatPanel

pytestmark = pytest.mark.ui

MODEL = """
const traits = {model: "m", models: ["m", "n"], temperature: null, max_tokens: null, system_prompt: "",
                status: {state: "ok", reason: "Connected, 2 models.", remedy: ""}};
window.sent = [];
const listeners = {};
window.model = {
  get: (name) => traits[name],
  set(name, value) { traits[name] = value; window.model.fire(`change:${name}`); },
  save_changes() {},
  send: (message) => window.sent.push(message),
  on: (name, callback) => (listeners[name] ??= []).push(callback),
  fire: (name, value) => (listeners[name] ?? []).forEach((callback) => callback(value)),
};
"""

SHOWN = """
() => [...document.querySelectorAll(".lab-chat-answer .lab-chat-text")].map((answer) =>
  [...answer.children].map((block) => block.className === "lab-chat-prose" ? block.textContent
  : "<" + block.querySelector("span").textContent + ">" + block.querySelector("code").textContent))
"""


@pytest.fixture
def view(page: Page) -> Page:
    """A page with one panel that has sent its request for a replay."""
    page.set_content("<div id='el'></div>")
    page.add_style_tag(content=str(ChatPanel._css))
    page.evaluate(MODEL)
    page.evaluate(
        """async (code) => {
          const module = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
          module.default.render({model: window.model, el: document.getElementById("el")});
        }""",
        str(ChatPanel._esm),
    )
    assert page.evaluate("window.sent") == [{"type": "replay"}]
    return page


def fire(page: Page, *events: dict[str, Any]) -> None:
    page.evaluate("(events) => events.forEach((event) => window.model.fire('msg:custom', event))", list(events))


def entry(number: int, role: str, text: str = "", state: str = "done") -> dict[str, Any]:
    return {
        "id": number,
        "role": role,
        "text": text,
        "state": state,
        "model": "m",
        "reason": "",
        "remedy": "",
        "figures": {},
    }


def replay(seq: int, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"type": "replay", "seq": seq, "entries": list(entries)}


def begin(seq: int) -> dict[str, Any]:
    return {
        "type": "begin",
        "seq": seq,
        "question": entry(1, "user", "prompt"),
        "answer": entry(2, "assistant", state="streaming"),
    }


TEXTS = [
    "One line.",
    "\n\nBefore\n\n```python\nx = `1`\n\n  ``\ny = 2\n```\n\nAfter ``` not a fence\n",
    "~~~\n```\ninside\n```\n~~~\nend",
    "- list\n   ```js\n   let a;\n   ```\nunclosed\n```sh\nls",
    "a `code` b\n`` two ``\n```inline``` still prose\n\r\n``",
    "Grüße 🌊 <b>not bold</b>\n````\n```\nnested\n````\n```",
]


@pytest.mark.parametrize("text", TEXTS)
def test_blocks_are_the_same_however_the_answer_is_cut(view: Page, text: str) -> None:
    fire(view, replay(0, entry(1, "user", "p"), entry(2, "assistant", text)))
    expected = view.evaluate(SHOWN)[0]
    assert expected
    chance = random.Random(text)
    for round_ in range(20):
        first = 1000 * (round_ + 1)
        events: list[dict[str, Any]] = [replay(first - 1), begin(first)]
        rest = text
        while rest:
            size = chance.choice([1, 1, 2, 3, 7, 50])
            events.append({"type": "delta", "seq": first + len(events) - 1, "id": 2, "text": rest[:size]})
            rest = rest[size:]
        end = entry(2, "assistant")
        del end["text"]
        events.append({"type": "end", "seq": first + len(events) - 1, "answer": end})
        fire(view, *events)
        assert view.evaluate(SHOWN) == [expected], f"round {round_}"


def test_fences_become_code_and_the_rest_stays_as_it_is(view: Page) -> None:
    fire(view, replay(0, entry(1, "user", "p"), entry(2, "assistant", TEXTS[1])))
    assert view.evaluate(SHOWN) == [["Before", "<python>x = `1`\n\n  ``\ny = 2\n", "After ``` not a fence"]]


def test_a_gap_in_the_events_is_mended_by_a_replay(view: Page) -> None:
    fire(view, replay(0), begin(1), {"type": "delta", "seq": 2, "id": 2, "text": "a"})
    fire(view, {"type": "delta", "seq": 4, "id": 2, "text": "c"}, {"type": "delta", "seq": 5, "id": 2, "text": "d"})
    assert view.evaluate("window.sent.length") == 2, "one more request for a replay"
    fire(view, replay(5, entry(1, "user", "prompt"), entry(2, "assistant", "abcd", "streaming")))
    fire(view, {"type": "delta", "seq": 5, "id": 2, "text": "old"}, {"type": "delta", "seq": 6, "id": 2, "text": "e"})
    assert view.evaluate(SHOWN) == [["abcde"]]


def test_the_prompt_leaves_the_field_when_it_is_taken_and_returns_after_an_error(view: Page) -> None:
    fire(view, replay(0))
    field = view.get_by_label("Prompt", exact=True)
    field.fill("prompt")
    field.press("Enter")
    assert view.evaluate("window.sent.at(-1)") == {"type": "ask", "text": "prompt"}
    assert field.input_value() == "prompt"
    fire(view, begin(1))
    assert field.input_value() == ""
    answer = {**entry(2, "assistant", state="failed"), "reason": "No.", "remedy": "Do."}
    fire(view, {"type": "end", "seq": 2, "answer": answer})
    assert field.input_value() == "prompt"
    assert "No." in view.locator(".lab-chat-fault").inner_text()


def test_a_prompt_that_was_taken_before_the_first_replay_leaves_the_field(view: Page) -> None:
    field = view.get_by_label("Prompt", exact=True)
    field.fill("prompt")
    field.press("Enter")
    fire(view, begin(1), replay(1, entry(1, "user", "prompt"), entry(2, "assistant", "a", "streaming")))
    assert field.input_value() == ""
    expect(view.get_by_role("button", name="Stop")).to_be_visible()


def test_a_view_without_an_answer_asks_for_the_replay_again(view: Page) -> None:
    view.wait_for_function("window.sent.length > 1")
    assert view.evaluate("window.sent.at(-1)") == {"type": "replay"}


def test_settings_say_default_until_they_are_set_and_again_after_a_reset(view: Page) -> None:
    view.get_by_label("Settings").click()
    settings = view.locator(".lab-chat-settings")
    assert "hub's default" in settings.inner_text()
    view.get_by_label("Temperature").fill("0.5")
    assert view.evaluate("window.model.get('temperature')") == 0.5
    assert "0.50" in settings.inner_text()
    view.get_by_role("button", name="reset").click()
    assert view.evaluate("window.model.get('temperature')") is None
    longest = view.get_by_label("Longest answer in tokens")
    for typed, expected in [("50", 50), ("-3", None), ("7.9", 7), ("", None)]:
        longest.fill(typed)
        longest.press("Tab")
        assert view.evaluate("window.model.get('max_tokens')") == expected


def test_every_control_has_a_name(view: Page) -> None:
    view.get_by_label("Settings").click()
    nameless = """() => [...document.querySelectorAll("button, select, input, textarea")]
      .filter((node) =>
        !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
      .map((node) => node.className)"""
    assert view.evaluate(nameless) == []
