"""What the panels that ask models have in common: the hub behind them, and how it is."""

from __future__ import annotations

import threading
from typing import Any

import traitlets

from litellm_hub.client import HubClient, HubStatus
from widgets.conversations.answer_task import Settings
from widgets.panels.message_panel import Message, MessagePanel, text_of

LONGEST_ANSWER = 1024  # tokens, unless somebody says otherwise: small models may go on for ever
_CHECKING = {"state": "checking", "reason": "Asking the hub …", "remedy": ""}


class HubPanel(MessagePanel):
    """A widget that talks to the hub."""

    models = traitlets.List(traitlets.Unicode()).tag(sync=True)
    temperature = traitlets.Float(None, allow_none=True, min=0, max=2).tag(sync=True)
    max_tokens = traitlets.Int(None, allow_none=True, min=1).tag(sync=True)
    system_prompt = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Dict(_CHECKING).tag(sync=True)

    def __init__(self, client: HubClient, **traits: Any) -> None:
        self._client = client
        self._check_lock = threading.Lock()
        self._checked = threading.Event()
        super().__init__(**traits)
        self._handlers |= {"refresh": lambda _: self.refresh(), "key": self._use_key}

    def refresh(self) -> None:
        """Ask the hub how it is and which models it has. Returns at once; `status` and `models` follow."""
        threading.Thread(target=self._check, name="chat-check", daemon=True).start()

    def _use_key(self, message: Message) -> None:
        """Take a key that was typed into a view; it is in this object alone, never in a trait or a file."""
        self._client.use_key(text_of(message, "key"))
        self.refresh()

    def _check(self, *, quietly: bool = False) -> None:
        with self._check_lock:
            if not quietly:
                self.status = _CHECKING
            found = self._client.status()
            if found.models:
                self.models = list(found.models)
            self._take_status(found)
            self.status = {"state": found.state.value, "reason": found.reason, "remedy": found.remedy}
            self._checked.set()

    def _take_status(self, found: HubStatus) -> None:
        """Hook: what else a panel does with the hub's status. Runs before the status is shown."""

    def _settings(self, model: str) -> Settings:
        """Return how this model is asked next."""
        return Settings(model, self.system_prompt, self.temperature, self.max_tokens)
