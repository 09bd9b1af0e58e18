"""Tells, while an answer's first word is awaited, what it waits for: its turn in the hub, or its model's loading."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from litellm_hub.client import Delay, Memory
from litellm_hub.client.errors import HubError

FIRST_S = 0.7  # an answer that begins sooner needs no word, and no question
EVERY_S = 1.0
_BEING_LOADED = (Memory.ASLEEP, Memory.LOADING)  # the request that is on its way wakes a model that is asleep


class Waking:
    """A watch over one request: asks, ever less often while nothing is known to hold it up, until its answer has begun.

    Args:
        ask: Asks the hub.
        tell: Gets the place in the queue; 0 when the model is being loaded, None when neither is so (any more). Never
            called after `end`.
    """

    def __init__(self, ask: Callable[[], Delay], tell: Callable[[int | None], None]) -> None:
        self._ask = ask
        self._tell = tell
        self._told: int | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()  # held while it is told, so that nothing is told after the end

    def __enter__(self) -> Waking:
        threading.Thread(target=self._run, name="chat-waking", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """The answer has begun, or is not awaited any more."""
        if not self._ended.is_set():
            with self._lock:
                self._ended.set()
                self._say(None)

    def _run(self) -> None:
        pause = FIRST_S
        while not self._ended.wait(pause):
            found = None
            with suppress(HubError):
                delay = self._ask()
                found = delay.place or (0 if delay.memory in _BEING_LOADED else None)
            with self._lock:
                if not self._ended.is_set():
                    self._say(found)
            # A busy hub may be late with its word, or with the request itself.
            pause = max(EVERY_S, 2 * pause) if found is None else EVERY_S

    def _say(self, found: int | None) -> None:
        if found != self._told:
            self._told = found
            self._tell(found)
