"""Lines of progress in a file, which an action plugin shows in the terminal while the module runs."""

from __future__ import annotations

import time

INTERVAL_S = 2.0
MEGABYTE = 1_000_000


class Progress:
    """Writes what happens to one thing; figures at most every `INTERVAL_S` seconds.

    Args:
        path: The file.
        subject: What the lines are about.
    """

    def __init__(self, path: str, subject: str):
        self.file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - to the module's end
        self.subject = subject
        self.told_at = time.monotonic()
        self.told_bytes = -1

    def say(self, text: str) -> None:
        """Write one line."""
        self.file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.subject}: {text}\n")

    def bytes(self, done: int, total: int) -> None:
        """Write how much of `total` bytes is `done`, with the speed since the last such line."""
        passed = time.monotonic() - self.told_at
        if passed < INTERVAL_S or done == self.told_bytes:
            return
        speed = "" if self.told_bytes < 0 else f", {(done - self.told_bytes) / passed / MEGABYTE:.1f} MB/s"
        part = f"{100 * done // total} % " if total else ""
        self.say(f"{part}({done // MEGABYTE} of {total // MEGABYTE} MB{speed})")
        self.told_at, self.told_bytes = time.monotonic(), done
