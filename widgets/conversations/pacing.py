"""Fewer, larger pieces of a stream.

A Jupyter message and the repaint it causes cost far more than a token, so the number of messages sets the cost of a
stream. The first piece passes at once; then what came is passed on about nine times a second, which reads as fluent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

INTERVAL = 0.11  # seconds


class Pacer:
    """Passes text on at most once per interval, none of it later than an interval after it came.

    Args:
        pass_on: Called with the joined pieces; never twice at a time.
        interval: Seconds between two calls.
    """

    def __init__(self, pass_on: Callable[[str], None], interval: float = INTERVAL) -> None:
        self._pass_on = pass_on
        self._interval = interval
        self._pieces: list[str] = []
        self._last = float("-inf")
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Take the next piece."""
        with self._lock:
            self._pieces.append(text)
            if self._timer is not None:
                return
            wait = self._last + self._interval - time.monotonic()
            if wait <= 0:
                self._flush()
                return
            # A stream may pause after any piece: without a timer the text would wait for the next one.
            self._timer = threading.Timer(wait, self._due)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Pass on the rest at once."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._flush()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            self._last = time.monotonic()
            self._pass_on(text)
