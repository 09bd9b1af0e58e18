"""The chat beside the work, which also serves what stands under the cells of notebooks: Explain, Fix, Change.

A cell's request opens a comm with the target `genailabs.cells` and data {"type", "cell"}, `cell` with the fields of
`widgets.fixing.prompt.Cell`:

    write    has the cell written anew; the first message has the `model`, the last one is the reply below
    explain  asks for an explanation in the chat

The reply is {"ok": True, …} or {"ok": False, "reason", "remedy"}. Whoever closes the comm cancels the request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import msgspec
from comm import get_comm_manager
from comm.base_comm import BaseComm

from litellm_hub.client import ChatStream
from litellm_hub.client.errors import AnswerCut, HubError
from widgets.conversations.conversation import BusyError
from widgets.fixing.answer import code_of, difference
from widgets.fixing.prompt import EXPLAIN, Cell, complete, explained
from widgets.panels.chat_panel import FIRST_CHECK_S, ChatPanel
from widgets.panels.message_panel import RefusedError

TARGET = "genailabs.cells"
Reply = Mapping[str, Any]

log = logging.getLogger(__name__)


class SideChat(ChatPanel):
    """The chat of a kernel that serves no notebook; see `ChatPanel`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        get_comm_manager().register_target(TARGET, self._take)

    def _take(self, comm: BaseComm, message: Mapping[str, Any]) -> None:
        """Begin to serve a request, on a thread of its own."""
        request = Request(self, comm)
        comm.on_close(lambda _: request.cancel())
        data = message["content"]["data"]
        threading.Thread(target=request.serve, args=(data,), name="cell", daemon=True).start()

    def explain(self, cell: Cell) -> Reply:
        """Ask in the chat why a cell failed.

        Raises:
            RefusedError: There is no model, or an answer is being written.
        """
        self._chosen()
        try:
            self._session.ask(EXPLAIN, attached=explained(cell))
        except BusyError as error:
            raise RefusedError("The chat is writing an answer.", "Wait for its end, or stop it there.") from error
        return {"ok": True}

    def write(self, cell: Cell, request: Request) -> Reply:
        """Have a cell written anew by the chat's model.

        Raises:
            HubError: The hub gave no answer.
            RefusedError: There is no model, or no code in its answer.
        """
        model = self._chosen()
        request.tell({"model": model})
        try:
            answer = complete(self._client, model, cell, request.opened)
        except AnswerCut as error:
            raise RefusedError(error.reason, "Ask again.") from error
        code = code_of(answer, cell.source)
        if not code:
            raise RefusedError(
                f"{model} answered without code.", "Say in words what should change, or ask in the chat."
            )
        return {"ok": True, "model": model, "code": code, "lines": difference(cell.source, code)}

    def _chosen(self) -> str:
        """The chat's model, once the hub has been asked for it; a chat that was just made has none yet."""
        if not self.model:
            self._checked.wait(FIRST_CHECK_S)
        if not self.model:
            wrong = self.status["state"] not in {"ok", "checking"}
            reason, remedy = (self.status["reason"], self.status["remedy"]) if wrong else ("No model is chosen.", "")
            raise RefusedError(reason, remedy or "Choose a model at the top of the chat.")
        return self.model

    def settle(self) -> None:
        """Learn what a request has left of the budget, and how the hub is after it."""
        self._check(quietly=True)


class Request:
    """A request of a cell that is being served.

    Args:
        chat: Who serves it.
        comm: Where its messages go.
    """

    def __init__(self, chat: SideChat, comm: BaseComm) -> None:
        self._chat = chat
        self._comm = comm
        self._lock = threading.Lock()
        self._cancelled = False
        self._stream: ChatStream | None = None

    def serve(self, data: Mapping[str, Any]) -> None:
        """Do what is asked, and reply."""
        try:
            cell = msgspec.convert(data["cell"], Cell)
            self.tell(self._chat.explain(cell) if data["type"] == "explain" else self._chat.write(cell, self))
        except (HubError, RefusedError) as error:
            self.tell({"ok": False, "reason": error.reason, "remedy": error.remedy})
        except Exception as error:  # a thread tells nobody, and the cell would wait for ever
            log.exception("A request of a cell failed.")
            self.tell({"ok": False, "reason": f"The chat failed: {error!r}.", "remedy": "Its kernel's log says more."})
        self._chat.settle()

    def opened(self, stream: ChatStream) -> None:
        """Take the stream of the answer, to close it when the request is cancelled."""
        with self._lock:
            self._stream = stream
            if self._cancelled:
                stream.close()

    def cancel(self) -> None:
        """End the request; nothing more is told."""
        with self._lock:
            self._cancelled = True
            if self._stream is not None:
                self._stream.close()

    def tell(self, message: Reply) -> None:
        """Send a message to the cell, unless the request was cancelled."""
        if not self._cancelled:
            self._comm.send(dict(message))
