"""What all panels have in common: the hub behind them, and the views' requests.

The kernel may be busy with another cell: answers go on, and Stop works as soon as its message is handled, at once where
JupyterLab gives widgets a subshell (4.6 and newer with ipykernel 7). So no handler here waits for anything: what takes
time runs on a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from litellm_hub.client import HubClient, HubState, HubStatus
from litellm_hub.client.errors import HubError
from widgets.panels import assets
from widgets.storage.store import StoreError

Message = dict[str, Any]
_CHECKING = {"state": "checking", "reason": "Asking the hub …", "remedy": ""}

log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - reads as what happened
    """A request that cannot be met; `reason` and `remedy` are shown in the view that made it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason} {remedy}".strip())


class HubPanel(anywidget.AnyWidget):  # type: ignore[misc,unused-ignore]  # ipywidgets has no types
    """A widget that talks to the hub.

    A view's message has a `type`. One with a `request` gets a reply: {"type": "reply", "request", "ok": True, …}, or
    {…, "ok": False, "reason", "remedy"}.
    """

    models = traitlets.List(traitlets.Unicode()).tag(sync=True)
    temperature = traitlets.Float(None, allow_none=True, min=0, max=2).tag(sync=True)
    max_tokens = traitlets.Int(None, allow_none=True, min=1).tag(sync=True)
    system_prompt = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Dict(_CHECKING).tag(sync=True)

    def __init__(self, base_url: str | None, api_key: str | None, **traits: Any) -> None:
        self._client = HubClient(base_url, api_key)
        self._check_lock = threading.Lock()
        self._actions: dict[str, Callable[[Message], None]] = {}
        self._requests: dict[str, Callable[[Message], Mapping[str, Any]]] = {}
        super().__init__(**traits)
        self._stay_on_the_subshell()
        self.on_msg(self._on_message)

    def refresh(self) -> None:
        """Ask the hub how it is and which models it has. Returns at once; `status` and `models` follow."""
        threading.Thread(target=self._check, name="chat-check", daemon=True).start()

    def _check(self, *, quietly: bool = False) -> None:
        with self._check_lock:
            if not quietly:
                self.status = _CHECKING
            found = self._client.status()
            if found.models:
                self.models = list(found.models)
            self._take_status(found)
            self.status = {"state": found.state.value, "reason": found.reason, "remedy": found.remedy}

    def _take_status(self, found: HubStatus) -> None:
        """Hook: what else a panel does with the hub's status. Runs before the status is shown."""

    def _no_model(self) -> HubError:
        """Return why there is no model to ask."""
        bad = self.status.get("state") not in {"checking", HubState.OK}
        reason, remedy = (self.status["reason"], self.status["remedy"]) if bad else ("No model is chosen.", "")
        return HubError(reason, remedy or "Choose a model at the top of the panel.")

    def _stay_on_the_subshell(self) -> None:
        """Let messages of views go where the front end sends them.

        ipykernel 7.4 diverts them to the shell that last used the comm, in case one of its cells waits for a reply. No
        cell waits for this panel, but that shell may be busy, and then Stop would come when the answer is over.
        """
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None

    def _on_message(self, _panel: object, content: Message, _buffers: object) -> None:
        kind, request = content.get("type"), content.get("request")
        if request is not None and (kind in self._requests or kind == "module"):
            threading.Thread(target=self._reply, args=(content,), name=f"chat-{kind}", daemon=True).start()
        elif kind in self._actions:
            try:
                self._actions[kind](content)
            except KeyError as error:
                # A second view may act on what the first has just deleted; a replay shows it what there is.
                log.info("The chat panel got a message about %s, which is not there.", error)
        else:
            log.warning("The chat panel got a message of the unknown type %r.", kind)

    def _reply(self, content: Message) -> None:
        reply: Message = {"type": "reply", "request": content["request"], "ok": True}
        buffers: list[bytes] | None = None
        try:
            if content["type"] == "module":
                buffers = [_module(str(content.get("name")))]
            else:
                reply |= self._requests[content["type"]](content)
        except (Refused, StoreError, HubError) as error:
            reply |= {"ok": False, "reason": error.reason, "remedy": error.remedy}
        except Exception as error:  # a thread tells nobody, and the view would wait for ever
            log.exception("The chat panel failed at a request of the type %r.", content["type"])
            reply |= {"ok": False, "reason": f"The panel failed: {error!r}.", "remedy": "The kernel's log says more."}
        self.send(reply, buffers)


def _module(name: str) -> bytes:
    try:
        return assets.module(name)
    except KeyError as error:
        raise Refused(
            f"The panel has no module {name!r}.", "Reload the page: it may be older than the kernel."
        ) from error
