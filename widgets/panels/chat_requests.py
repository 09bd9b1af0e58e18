"""What views of a chat panel may ask for, by the `type` of their message.

Without a reply: `replay`, `refresh`, `ask` (`text`, `attachments`), `stop`, `regenerate` and `retry` (`id`), `edit`
(`id`, `text`), `branch` (`id`, `step`), `delete` (`id`), `approve` (`id`, `call`, `allow`, `always`).
With one: `conversations` (`query`), `new`, `open`, `rename`, `remove`, `export`, `import`, `complete`, `preview`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from widgets.context.variables import candidates
from widgets.conversations.conversation import Busy
from widgets.conversations.document import BadDocument, parse
from widgets.panels.hub_panel import Message, Refused
from widgets.panels.notebook import namespace
from widgets.panels.preview import preview

if TYPE_CHECKING:
    from widgets.panels.chat_panel import ChatPanel

MOST_ITEMS = 200  # of a list: it is sent anew with each letter of a search

# Format: ending of the file's name, media type.
FORMATS = {
    "markdown": ("md", "text/markdown"),
    "notebook": ("ipynb", "application/x-ipynb+json"),
    "json": ("json", "application/json"),
}

Actions = dict[str, Callable[[Message], None]]
Requests = dict[str, Callable[[Message], Mapping[str, Any]]]


def answer_requests(panel: ChatPanel) -> tuple[Actions, Requests]:
    """Return what a panel does at each message: without a reply, and with one."""
    desk = _Desk(panel)
    actions = ("replay", "refresh", "ask", "stop", "regenerate", "retry", "edit", "branch", "delete", "approve")
    requests = ("conversations", "new", "open", "rename", "remove", "export", "import", "complete", "preview")
    return (
        {name: getattr(desk, f"on_{name}") for name in actions},
        {name: getattr(desk, f"on_{name}") for name in requests},
    )


class _Desk:
    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel
        self._opening = threading.Lock()  # one change of the conversation on screen at a time

    def on_replay(self, _: Message) -> None:
        self._panel.replay()

    def on_refresh(self, _: Message) -> None:
        self._panel.refresh()

    def on_ask(self, message: Message) -> None:
        text, names = _text(message, "text"), [str(name) for name in message.get("attachments") or ()]
        if not text.strip():
            return
        if names:  # describing a large frame takes its time, and Stop must not wait for it
            threading.Thread(target=self._ask, args=(text, names), name="chat-ask", daemon=True).start()
        else:
            self._ask(text, names)

    def _ask(self, text: str, names: list[str]) -> None:
        try:
            self._panel.ask(text, names)
        except Busy:
            # A second view asks while the answer to the first is written; its prompt stays where it was typed.
            self._panel.replay()

    def on_stop(self, _: Message) -> None:
        self._panel.stop()

    def on_regenerate(self, message: Message) -> None:
        self._unless_busy(lambda: self._panel.regenerate(_text(message, "id")))

    on_retry = on_regenerate

    def on_edit(self, message: Message) -> None:
        if _text(message, "text").strip():
            self._unless_busy(lambda: self._panel.edit(_text(message, "id"), _text(message, "text")))

    def _unless_busy(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Busy:
            self._panel.replay()

    def on_branch(self, message: Message) -> None:
        step = message.get("step")
        self._panel.session.conversation.switch(_text(message, "id"), step if isinstance(step, int) else 0)
        self._panel.show_meters()

    def on_delete(self, message: Message) -> None:
        session = self._panel.session
        session.conversation.delete(_text(message, "id"))
        answering = session.answering
        if answering is not None and not session.conversation.has(answering.answer_id):
            answering.stop()
        self._panel.show_meters()

    def on_approve(self, message: Message) -> None:
        answering = self._panel.session.answering
        if answering is not None and answering.answer_id == message.get("id"):
            always = message.get("always") is True
            answering.decide(_text(message, "call"), message.get("allow") is True, always=always)
            if always:
                self._panel.show_tools()

    def on_conversations(self, message: Message) -> Mapping[str, Any]:
        found = self._panel.library.items(_text(message, "query"))
        items = [asdict(item) for item in found[:MOST_ITEMS]]
        return {"items": items, "total": len(found), "current": self._panel.session.id}

    def on_new(self, _: Message) -> Mapping[str, Any]:
        with self._opening:
            if not self._panel.session.conversation.empty:
                self._panel.clear()
            return {"id": self._panel.session.id}

    def on_open(self, message: Message) -> Mapping[str, Any]:
        with self._opening:
            if _text(message, "id") != self._panel.session.id:
                self._panel.load(_text(message, "id"))
            session = self._panel.session
        note = f"{session.saving.reason} {session.saving.remedy}" if session.saving.state == "copy" else ""
        return {"id": session.id, "note": note}

    def on_rename(self, message: Message) -> Mapping[str, Any]:
        try:
            self._panel.library.rename(_text(message, "id"), _text(message, "title"))
        except ValueError as error:
            raise Refused(str(error), "Write a few words.") from error
        return {}

    def on_remove(self, message: Message) -> Mapping[str, Any]:
        with self._opening:
            removed, session = _text(message, "id"), self._panel.session
            self._panel.library.remove(removed)
            if session.id == removed:
                if session.answering is not None:
                    session.answering.stop()
                self._panel.clear()
        return {}

    def on_export(self, message: Message) -> Mapping[str, Any]:
        kind = _text(message, "format")
        if kind not in FORMATS:
            raise Refused(f"There is no format {kind!r}.", f"There are: {', '.join(FORMATS)}.")
        from widgets.storage import transcript  # its check of notebooks takes a second to load

        suffix, mime = FORMATS[kind]
        session, wanted = self._panel.session, _text(message, "id")
        if wanted in {"", session.id}:
            document = session.conversation.document()
        else:
            document = msgspec.to_builtins(self._panel.library.document(wanted))
        write: Callable[[dict[str, Any]], str] = getattr(transcript, f"to_{kind}")
        name = f"{_file_name(document['title'])}.{suffix}"
        return {"name": name, "mime": mime, "text": write(document)}

    def on_import(self, message: Message) -> Mapping[str, Any]:
        from widgets.storage import transcript

        try:
            document = parse(transcript.from_json(_text(message, "text")))
        except (BadDocument, ValueError) as error:
            name = _text(message, "name") or "The text"
            raise Refused(
                f"{name} cannot be imported: {error}", "Export a conversation as JSON to see the form."
            ) from error
        return {"id": self._panel.library.add(document), "note": ""}

    def on_complete(self, message: Message) -> Mapping[str, Any]:
        return {"items": [asdict(found) for found in candidates(_text(message, "prefix"), namespace())]}

    def on_preview(self, message: Message) -> Mapping[str, Any]:
        try:
            attached = self._panel.attached([str(name) for name in message.get("attachments") or ()])
        except (LookupError, ValueError) as error:
            raise Refused(str(error), "Attach less, or nothing.") from error
        return preview(self._panel, _text(message, "text"), attached)


def _text(message: Message, name: str) -> str:
    value = message.get(name, "")
    return value if isinstance(value, str) else ""


def _file_name(title: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-_ " else "" for letter in title)
    return "-".join(kept.split())[:60] or "conversation"
