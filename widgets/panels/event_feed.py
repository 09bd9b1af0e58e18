"""The numbered events that a panel's views get, whichever conversation is on screen."""

from __future__ import annotations

import threading
from collections.abc import Callable

from widgets.conversations.conversation import Conversation, Event


class EventFeed:
    """Numbers the events of the conversation that is on screen and sends them.

    Args:
        send: Called with every event, in order, one at a time. It must not call back, and not wait.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._sequence = 0
        # Locks are taken in this order: switching, the conversation's own, sending.
        self._switching = threading.RLock()
        self._sending = threading.Lock()
        self._conversation: Conversation | None = None

    def show(self, conversation: Conversation) -> None:
        """Put a conversation on screen."""
        with self._switching:
            self.close()
            self._conversation = conversation
            conversation.connect(self._number)

    def replay(self) -> None:
        """Send the whole conversation, with the number of the last event, for views that lack some of it."""
        with self._switching:
            if self._conversation is not None:
                self._conversation.replay(self._repeat)

    def close(self) -> None:
        """Send nothing more."""
        with self._switching:
            if self._conversation is not None:
                self._conversation.disconnect(self._number)
                self._conversation = None

    def _number(self, event: Event) -> None:
        with self._sending:
            self._sequence += 1
            self._send({**event, "seq": self._sequence})

    def _repeat(self, event: Event) -> None:
        with self._sending:
            self._send({**event, "seq": self._sequence})
