"""A page with one view of a panel and a pretended model in place of a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

STATIC = Path(__file__).parents[2] / "widgets" / "static"
TRAITS: dict[str, Any] = {
    "model": "m",
    "models": ["m", "n"],
    "chosen": ["m", "n"],
    "temperature": None,
    "max_tokens": None,
    "system_prompt": "",
    "status": {"state": "ok", "reason": "Connected, 2 models.", "remedy": ""},
    "meters": {},
    "tools": [],
    "kind": "chat",
}
CONVERSATION = {"id": "c1", "title": "A conversation"}

_MODEL = """
(traits) => {
  window.sent = [];
  window.replies = {};  // type of request: reply, or list of replies to give in turn
  const listeners = {};
  const reply = ({type, request}) => {
    const known = window.replies[type];
    const body = Array.isArray(known) ? known.shift() : known;
    if (body && request) {
      const {buffers, ...rest} = body;
      queueMicrotask(() => window.model.fire("msg:custom", {type: "reply", request, ok: true, ...rest},
        (buffers ?? []).map((text) => new DataView(new TextEncoder().encode(text).buffer))));
    }
  };
  window.model = {
    get: (name) => traits[name],
    set(name, value) { traits[name] = value; window.model.fire(`change:${name}`); },
    save_changes() {},
    send(message) {
      if (message.type === "ping") {
        if (!window.silent) queueMicrotask(() => window.model.fire("msg:custom", {type: "pong"}, []));
        return;
      }
      window.sent.push(message);
      reply(message);
    },
    on: (name, callback) => (listeners[name] ??= []).push(callback),
    fire: (name, value, buffers) => (listeners[name] ?? []).forEach((callback) => callback(value, buffers)),
  };
}
"""
_RENDER = """
async (code) => {
  const module = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  module.default.render({model: window.model, el: document.getElementById("el")});
}
"""


class PretendedView:
    """A view whose messages are seen, and to which the test plays Python."""

    def __init__(self, page: Page, script: str = "chat", **traits: Any) -> None:
        self.page = page
        page.route(
            "https://lab.test/",
            lambda route: route.fulfill(body="<!doctype html><html lang=en><title>Lab", content_type="text/html"),
        )
        page.goto("https://lab.test/")
        page.set_content("<!doctype html><html lang='en'><title>Lab</title><body><main id='el'></main></body></html>")
        style = "usage.css" if script == "usage" else "chat.css"
        page.add_style_tag(content=(STATIC / style).read_text(encoding="utf-8"))
        page.evaluate(_MODEL, TRAITS | traits)
        self.seq = 0
        self.script = script

    def render(self) -> PretendedView:
        """Draw the view anew, as another display of the same panel."""
        if self.script == "usage":
            from widgets.panels.usage_dashboard import module  # loads what other views need not wait for

            code = module()
        else:
            code = (STATIC / f"{self.script}.js").read_text(encoding="utf-8")
        self.page.evaluate(_RENDER, code)
        return self

    def sent(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the messages that the view sent, all or those of one type."""
        messages: list[dict[str, Any]] = self.page.evaluate("window.sent")
        return [message for message in messages if kind is None or message["type"] == kind]

    def fall_silent(self, silent: bool = True) -> None:
        """Let the pretended kernel answer no more, or again."""
        self.page.evaluate("(silent) => { window.silent = silent; }", silent)

    def reply(self, kind: str, body: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Answer requests of this type from now on; a list gives one reply for each."""
        self.page.evaluate("([kind, body]) => { window.replies[kind] = body; }", [kind, body])

    def event(self, kind: str, **fields: Any) -> None:
        """Send an event with the next number."""
        self.seq += 1
        self.fire({"type": kind, "seq": self.seq, **fields})

    def replay(self, *entries: dict[str, Any], busy: bool = False, conversation: dict[str, str] = CONVERSATION) -> None:
        """Send the whole conversation."""
        self.fire(
            {"type": "replay", "seq": self.seq, "conversation": conversation, "entries": list(entries), "busy": busy}
        )

    def fire(self, *events: dict[str, Any]) -> None:
        """Send events as they are."""
        self.page.evaluate("(all) => all.forEach((event) => window.model.fire('msg:custom', event, []))", list(events))


def user(number: int, text: str, **fields: Any) -> dict[str, Any]:
    """Return the entry of a prompt."""
    entry = {"id": f"e{number}", "role": "user", "text": text, "attachments": [], "branch": {"index": 0, "count": 1}}
    return entry | {"created": "2026-01-02T03:04:05Z"} | fields


def answer(number: int, text: str = "", state: str = "done", **fields: Any) -> dict[str, Any]:
    """Return the entry of an answer."""
    entry = {
        "id": f"e{number}",
        "role": "assistant",
        "text": text,
        "state": state,
        "model": "m",
        "reason": "",
        "remedy": "",
    }
    more = {
        "retry": False,
        "figures": {},
        "calls": [],
        "branch": {"index": 0, "count": 1},
        "created": "2026-01-02T03:04:05Z",
    }
    return entry | more | fields


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
