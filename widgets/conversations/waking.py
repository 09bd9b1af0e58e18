"""Tells, while an answer's first word is awaited, whether the runtime loads the model first, by its own word."""

from __future__ import annotations

import threading
from collections.abc import Callable

from litellm_hub.client import Memory
from litellm_hub.client.errors import HubError

FIRST_S = 0.7  # an answer that begins sooner needs no word, and no question
EVERY_S = 1.0


class Waking:
    """A watch over one request: asks until the model is in the runtime's memory, or its answer has begun.

    Args:
        ask: Asks the hub; None where it does not know.
        tell: Gets True when the model is being loaded and False when it is not any more; never after `end`.
    """

    def __init__(self, ask: Callable[[], Memory | None], tell: Callable[[bool], None]) -> None:
        self._ask = ask
        self._tell = tell
        self._told = False
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
                self._say(False)

    def _run(self) -> None:
        pause = FIRST_S
        while not self._ended.wait(pause):
            pause = EVERY_S
            try:
                # The request that is on its way wakes a model that is asleep.
                loading = self._ask() in (Memory.ASLEEP, Memory.LOADING)
            except HubError:
                return
            with self._lock:
                if not self._ended.is_set():
                    self._say(loading)
            if not loading:
                return

    def _say(self, loading: bool) -> None:
        if loading != self._told:
            self._told = loading
            self._tell(loading)
