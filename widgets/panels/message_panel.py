"""What all widgets of the lab have in common: the messages of their views, and the replies.

The kernel may be busy with another cell: answers go on, and Stop works as soon as its message is handled, at once where
JupyterLab gives widgets a subshell (4.6 and newer with ipykernel 7). So no handler here waits for anything: what takes
time is a request, which runs on a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import anywidget

from litellm_hub.client.errors import HubError
from widgets.panels import assets
from widgets.storage.store import StoreError

Message = dict[str, Any]
Handler = Callable[[Message], Mapping[str, Any] | None]

log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that cannot be met; `reason` and `remedy` are shown in the view that made it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason} {remedy}".strip())


class MessagePanel(anywidget.AnyWidget):  # type: ignore[misc,unused-ignore]  # ipywidgets has no types
    """A widget whose views send messages.

    A message has a `type`, the name of its handler in `_handlers`. One with a `request` gets a reply:
    {"type": "reply", "request", "ok": True, …}, or {…, "ok": False, "reason", "remedy"}.
    """

    def __init__(self, **traits: Any) -> None:
        self._handlers: dict[str, Handler] = {"module": _module, "ping": lambda _: self.send({"type": "pong"})}
        super().__init__(**traits)
        # ipykernel 7.4 diverts messages of views to the shell that last used the comm, in case one of its cells waits
        # for a reply. No cell waits for a panel, but that shell may be busy, and Stop would come when all is over.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None
        self.on_msg(self._on_message)

    def _on_message(self, _widget: object, content: Message, _buffers: object) -> None:
        kind = content.get("type")
        handler = self._handlers.get(str(kind))
        if handler is None:
            log.warning("%s got a message of the unknown type %r.", type(self).__name__, kind)
        elif "request" in content:
            threading.Thread(target=self._reply, args=(handler, content), name=f"panel-{kind}", daemon=True).start()
        else:
            try:
                handler(content)
            except KeyError as error:
                # A second view may act on what the first has just deleted; a replay shows it what there is.
                log.info("%s got a message about %s, which is not there.", type(self).__name__, error)

    def _reply(self, handler: Handler, content: Message) -> None:
        reply: Message = {"type": "reply", "request": content["request"], "ok": True}
        try:
            reply |= handler(content) or {}
        except (RefusedError, StoreError, HubError) as error:
            reply |= {"ok": False, "reason": error.reason, "remedy": error.remedy}
        except Exception as error:  # a thread tells nobody, and the view would wait for ever
            log.exception("%s failed at a request of the type %r.", type(self).__name__, content["type"])
            reply |= {"ok": False, "reason": f"The panel failed: {error!r}.", "remedy": "The kernel's log says more."}
        self.send(reply, reply.pop("buffers", None))


def text_of(message: Message, name: str) -> str:
    """Return a field of a message; empty unless it is a text."""
    value = message.get(name, "")
    return value if isinstance(value, str) else ""


def _module(message: Message) -> Mapping[str, Any]:
    name = text_of(message, "name")
    try:
        return {"buffers": [assets.module(name)]}
    except KeyError as error:
        raise RefusedError(
            f"The panel has no module {name!r}.", "Reload the page: it may be older than the kernel."
        ) from error
