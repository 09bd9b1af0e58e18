"""Fewer, larger pieces: nothing lost, nothing late."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from widgets.conversations.pacing import Pacer


def test_the_first_piece_passes_at_once_and_the_rest_at_most_ten_times_a_second() -> None:
    got: list[tuple[float, str]] = []
    start = time.monotonic()
    pacer = Pacer(lambda text: got.append((time.monotonic() - start, text)))
    pacer.write("first ")
    assert [text for _, text in got] == ["first "]
    count = 0
    while time.monotonic() - start < 0.55:
        pacer.write("x")
        count += 1
    pacer.close()
    assert "".join(text for _, text in got) == "first " + "x" * count
    assert len(got) <= 8
    gaps = [after - before for (before, _), (after, _) in pairwise(got[:-1])]
    assert min(gaps) > 0.09


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
