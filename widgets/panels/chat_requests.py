"""What views of a chat panel may ask for: the table of its messages, besides `refresh` and `module` of all panels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec

from litellm_hub.client.tokens import estimate_tokens
from widgets.context.rendering import clean
from widgets.context.variables import candidates
from widgets.conversations.conversation import BusyError
from widgets.panels import kernel
from widgets.panels.chat_session import ChatSession
from widgets.panels.message_panel import Handler, Message, RefusedError, text_of
from widgets.panels.notebook import namespace
from widgets.storage.document import Attached, DocumentError, parse

MOST_ITEMS = 200  # of a list: it is sent anew with each letter of a search

# Format: ending of the file's name, media type.
FORMATS = {
    "markdown": ("md", "text/markdown"),
    "notebook": ("ipynb", "application/x-ipynb+json"),
    "json": ("json", "application/json"),
}


class ChatRequests:
    """Answers the views of one chat.

    Args:
        session: The chat.

    Attributes:
        handlers: What is done at each message, by its `type`.
    """

    def __init__(self, session: ChatSession) -> None:
        self._session = session
        self._opening = threading.Lock()  # one change of the conversation on screen at a time
        self.handlers: dict[str, Handler] = {
            # Without a reply; the events that follow tell what became of it.
            "replay": lambda _: session.replay(),
            "ask": self._ask,  # text, attachments (names) or attached (texts)
            "stop": lambda _: session.stop(),
            "regenerate": self._regenerate,  # id
            "retry": self._regenerate,  # id
            "edit": self._edit,  # id, text
            "branch": self._branch,  # id, step
            "delete": lambda message: session.delete(text_of(message, "id")),
            "approve": self._approve,  # id, call, allow, always
            "tool": self._switch_tool,  # name, on
            # With one.
            "conversations": self._conversations,  # query
            "new": self._new,
            "open": self._open,  # id
            "continue": self._continue,  # id
            "rename": self._rename,  # id, title
            "remove": self._remove,  # id
            "export": self._export,  # id, format
            "import": self._import,  # name, text
            "complete": self._complete,  # prefix
            "preview": self._preview,  # text, attachments or attached
            "memory": lambda _: {"bytes": kernel.memory()},
        }

    def _ask(self, message: Message) -> None:
        text, names = text_of(message, "text"), _names(message)
        if not text.strip():
            return
        if attached := _attached(message):
            self._unless_busy(lambda: self._session.ask(text, attached=attached))
        elif names:  # describing a large frame takes its time, and Stop must not wait for it
            act = partial(self._unless_busy, partial(self._session.ask, text, names))
            threading.Thread(target=act, name="chat-ask", daemon=True).start()
        else:
            self._unless_busy(lambda: self._session.ask(text))

    def _regenerate(self, message: Message) -> None:
        self._unless_busy(lambda: self._session.regenerate(text_of(message, "id")))

    def _edit(self, message: Message) -> None:
        if text_of(message, "text").strip():
            self._unless_busy(lambda: self._session.edit(text_of(message, "id"), text_of(message, "text")))

    def _unless_busy(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BusyError:
            # A second view asks while the answer to the first is written; its prompt stays where it was typed.
            self._session.replay()

    def _branch(self, message: Message) -> None:
        step = message.get("step")
        self._session.switch(text_of(message, "id"), step if isinstance(step, int) else 0)

    def _approve(self, message: Message) -> None:
        allow, always = message.get("allow") is True, message.get("always") is True
        self._session.decide(text_of(message, "id"), text_of(message, "call"), allow, always=always)

    def _switch_tool(self, message: Message) -> None:
        self._session.switch_tool(text_of(message, "name"), on=message.get("on") is True)

    def _conversations(self, message: Message) -> Mapping[str, Any]:
        found = self._session.library.items(text_of(message, "query"))
        items = [asdict(item) for item in found[:MOST_ITEMS]]
        return {"items": items, "total": len(found), "current": self._session.conversation.id}

    def _new(self, _: Message) -> Mapping[str, Any]:
        with self._opening:
            if not self._session.conversation.empty:
                self._session.open()
            return {"id": self._session.conversation.id}

    def _open(self, message: Message) -> Mapping[str, Any]:
        with self._opening:
            if text_of(message, "id") != self._session.conversation.id:
                self._session.open(text_of(message, "id"))
            saving = self._session.saving
            note = f"{saving.reason} {saving.remedy}" if saving.state == "copy" else ""
            return {"id": self._session.conversation.id, "note": note}

    def _continue(self, message: Message) -> None:
        """Go on with the conversation that the cell showed before it ran again, unless another kernel has it."""
        with self._opening:
            if not self._session.conversation.empty:
                return
            self._session.open(text_of(message, "id"))
            if self._session.saving.state == "copy":
                self._session.open()

    def _rename(self, message: Message) -> None:
        try:
            self._session.library.rename(text_of(message, "id"), text_of(message, "title"))
        except ValueError as error:
            raise RefusedError(str(error), "Write a few words.") from error

    def _remove(self, message: Message) -> None:
        with self._opening:
            removed = text_of(message, "id")
            self._session.library.remove(removed)
            if self._session.conversation.id == removed:
                self._session.stop()
                self._session.open()

    def _export(self, message: Message) -> Mapping[str, Any]:
        kind = text_of(message, "format")
        if kind not in FORMATS:
            raise RefusedError(f"There is no format {kind!r}.", f"There are: {', '.join(FORMATS)}.")
        from widgets.storage import transcript  # its check of notebooks takes a second to load

        suffix, mime = FORMATS[kind]
        conversation, wanted = self._session.conversation, text_of(message, "id")
        if wanted in {"", conversation.id}:
            document = conversation.document()
        else:
            document = msgspec.to_builtins(self._session.library.document(wanted))
        write: Callable[[dict[str, Any]], str] = getattr(transcript, f"to_{kind}")
        return {"name": f"{_file_name(document['title'])}.{suffix}", "mime": mime, "text": write(document)}

    def _import(self, message: Message) -> Mapping[str, Any]:
        try:
            document = parse(text_of(message, "text").encode("utf-8", "replace"))
        except DocumentError as error:
            reason = f"{text_of(message, 'name') or 'The text'} cannot be imported: {error}"
            raise RefusedError(reason, "Choose a conversation that a chat panel exported as JSON.") from error
        return {"id": self._session.library.add(document), "note": ""}

    def _complete(self, message: Message) -> Mapping[str, Any]:
        return {"items": [asdict(found) for found in candidates(text_of(message, "prefix"), namespace())]}

    def _preview(self, message: Message) -> Mapping[str, Any]:
        try:
            return self._session.preview(text_of(message, "text"), _names(message), _attached(message))
        except (LookupError, ValueError) as error:
            raise RefusedError(str(error), "Attach less, or nothing.") from error


def _names(message: Message) -> list[str]:
    return [str(name) for name in message.get("attachments") or ()]


def _attached(message: Message) -> list[Attached]:
    """What another kernel told of its notebook; of no use to anybody but the model that reads it."""
    found = [item for item in message.get("attached") or () if isinstance(item, dict)]
    return [
        Attached(name=text_of(item, "name"), kind=text_of(item, "kind"), text=text, tokens=estimate_tokens(text))
        for item in found
        if (text := clean(text_of(item, "text")))
    ]


def _file_name(title: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-_ " else "" for letter in title)
    return "-".join(kept.split())[:60] or "conversation"
