"""Calling a user's function from the panel's thread: coroutines are waited for, and its own output is caught."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import io
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TextIO

_target: contextvars.ContextVar[io.StringIO | None] = contextvars.ContextVar("captured_output", default=None)
_lock = threading.Lock()
_open = 0


class _Diverter:
    """A standard output that gives what a capturing caller prints to its capture, and all else to the real one.

    Python's own `redirect_stdout` would catch what other cells print meanwhile.
    """

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(_target.get() or self.real, name)


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Catch what the caller (this thread, and what it awaits) prints; other threads print on as ever."""
    global _open
    caught = io.StringIO()
    with _lock:
        if not isinstance(sys.stdout, _Diverter):
            sys.stdout = _Diverter(sys.stdout)
        _open += 1
    token = _target.set(caught)
    try:
        yield caught
    finally:
        _target.reset(token)
        with _lock:
            _open -= 1
            if not _open and isinstance(sys.stdout, _Diverter):
                sys.stdout = sys.stdout.real


def run(function: Callable[..., Any], positional: list[Any], named: dict[str, Any]) -> Any:
    """Call a function and return its value; an awaitable is waited for, on a loop of its own."""
    value = function(*positional, **named)
    if not inspect.isawaitable(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(value))
    # This thread has a loop already, which cannot be entered twice.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, _awaited(value)).result()


async def _awaited(value: Any) -> Any:
    return await value
