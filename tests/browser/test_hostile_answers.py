"""Hostile answers in a real browser: nothing runs, nothing is fetched, nothing foreign is left in the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.pretend import STATIC, PretendedView, answer, user

pytestmark = pytest.mark.ui

SOURCES = Path(__file__).parents[2] / "widgets" / "frontend"
PAYLOADS: list[dict[str, str]] = json.loads((SOURCES / "test/data/hostile.json").read_text(encoding="utf-8"))
OBSERVE = """
() => {
  window.hits = [];
  window.__hit = (number) => { window.hits.push(number); };
  const note = (what) => () => { window.hits.push(what); };
  window.alert = note("alert");
  window.open = note("open");
  window.before = 0;
  window.before = Object.keys(window).length;
}
"""


class Witness:
    """Notes what leaves the page, and what runs in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))
        page.on("dialog", lambda dialog: (self._note(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("framenavigated", lambda frame: self._note(frame.url))
        page.route("**/*evil.example/**", lambda route: route.abort())

    def _note(self, url: str) -> None:
        if not url.startswith(("blob:https://lab.test/", "https://lab.test/")):
            self.requests.append(url)

    def start(self) -> None:
        self.requests.clear()
        self.page.evaluate(OBSERVE)

    @property
    def hits(self) -> list[Any]:
        found: list[Any] = self.page.evaluate("window.hits")
        return found


def armed(number: int) -> str:
    text = PAYLOADS[number]["text"]
    return text.replace("HIT", f"__hit({number})").replace("HOST", f"h{number}.evil.example")


def odd_pieces(text: str) -> list[str]:
    """Cut at odd places, so that tags, fences and pairs of characters come apart."""
    found, size = [], 1
    while text:
        found.append(text[:size])
        text, size = text[size:], size % 7 + 2
    return found


def let_it_act(page: Page) -> None:
    """Give everything that could run, load or react the occasion to."""
    page.evaluate(
        """async () => {
          const seen = document.querySelectorAll(".lab-chat-log *");
          for (const node of seen) {
            for (const type of ["mouseover", "focus", "load", "error", "toggle", "animationstart"]) {
              node.dispatchEvent(new Event(type));
            }
            if (node.tagName === "B") node.click();
          }
          document.querySelector(".lab-chat-log").scrollTop = 0;
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )
    page.wait_for_load_state("networkidle")


@pytest.fixture
def witness(page: Page) -> Witness:
    return Witness(page)


@pytest.fixture
def view(witness: Witness) -> PretendedView:
    made = PretendedView(witness.page)
    made.page.add_script_tag(content=(SOURCES / "test/harmless.js").read_text(encoding="utf-8").replace("export ", ""))
    made.reply("module", {"buffers": [(STATIC / "math.js").read_text(encoding="utf-8")]})
    made.render()
    witness.start()
    return made


def findings(page: Page) -> list[list[Any]]:
    found: list[list[Any]] = page.evaluate(
        """() => [...document.querySelectorAll(".lab-chat-body")].flatMap((body, index) =>
          [...body.querySelectorAll(".lab-chat-text")].flatMap(findings).map((what) => [index, what]))"""
    )
    return [[PAYLOADS[index]["name"], what] for index, what in found]


def show_formulas(view: PretendedView) -> None:
    """Wait until formulas are drawn: one more answer has one that is right."""
    count = view.page.locator(".lab-chat-entry").count()
    view.event("path", keep=count, entries=[user(9998, "p"), answer(9999, "$x$")], busy=False)
    view.page.wait_for_selector(".lab-chat-math math", state="attached")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "replayed"])
def test_no_hostile_answer_runs_or_fetches_anything(view: PretendedView, witness: Witness, streamed: bool) -> None:
    if streamed:
        view.replay()
        keep = 0
        for number in range(len(PAYLOADS)):
            at = 2 * number
            view.event("path", keep=keep, entries=[user(at, "p"), answer(at + 1, state="streaming")], busy=True)
            keep += 2
            events = []
            for piece in odd_pieces(armed(number)):
                view.seq += 1
                events.append({"type": "delta", "seq": view.seq, "id": f"e{at + 1}", "text": piece})
            view.fire(*events)
            ended = answer(at + 1)
            del ended["text"]
            view.event("end", answer=ended, busy=False)
    else:
        entries = []
        for number in range(len(PAYLOADS)):
            hostile = armed(number)
            entries += [user(2 * number, hostile), answer(2 * number + 1, hostile, model=hostile)]
        view.replay(*entries, conversation={"id": "c1", "title": armed(0)})
        # Only what comes near the reader is drawn.
        view.page.evaluate("document.querySelectorAll('.lab-chat-entry').forEach((node) => node.entry.hydrate())")
    show_formulas(view)
    let_it_act(view.page)
    assert view.page.locator(".lab-chat-answer").count() == len(PAYLOADS) + 1
    assert [PAYLOADS[hit]["name"] if isinstance(hit, int) else hit for hit in witness.hits] == []
    assert witness.requests == []
    assert findings(view.page) == []
    assert view.page.evaluate("location.href") == "https://lab.test/"
    assert view.page.evaluate("getComputedStyle(document.body).display") == "block"
    assert view.page.evaluate("Object.keys(window).length") == view.page.evaluate("window.before")


def test_the_witness_sees_what_an_unsanitised_answer_does(view: PretendedView, witness: Witness) -> None:
    numbers = [number for number, payload in enumerate(PAYLOADS) if payload["text"].startswith("<img")]
    view.page.evaluate(
        "(all) => { document.body.append(document.createElement('div')); document.body.lastChild.innerHTML = all; }",
        "".join(armed(number) for number in numbers) + "<img src='https://h0.evil.example/i.png'>",
    )
    view.page.wait_for_function("window.hits.length > 3")
    assert any("h0.evil.example" in url for url in witness.requests)


def test_an_image_is_fetched_after_a_click_and_only_then(view: PretendedView, witness: Witness) -> None:
    view.replay(user(1, "p"), answer(2, "![a chart](https://h1.evil.example/i.png?q=1)"))
    button = view.page.get_by_role("button", name="Load image from h1.evil.example")
    button.wait_for()
    assert witness.requests == []
    with view.page.expect_request("https://h1.evil.example/i.png?q=1") as request:
        button.click()
    assert "referer" not in request.value.headers
    view.page.get_by_text("[image not found: a chart]").wait_for()
