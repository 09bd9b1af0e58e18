"""Fewer, larger pieces: nothing lost, nothing late."""

from __future__ import annotations

import threading

from widgets.conversations.pacing import Pacer


def test_a_piece_before_a_pause_does_not_wait_for_the_next_one() -> None:
    passed = threading.Event()
    pacer = Pacer(lambda text: passed.set() if "second" in text else None)
    pacer.write("first")
    pacer.write("second")
    assert passed.wait(2)


def test_close_passes_the_rest_on_once() -> None:
    got: list[str] = []
    pacer = Pacer(got.append, interval=60)
    for text in ("a", "b", "c"):
        pacer.write(text)
    pacer.close()
    pacer.close()
    assert got == ["a", "bc"]
