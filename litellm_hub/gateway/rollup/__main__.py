"""`python -m litellm_hub.gateway.rollup serve|refresh|check|health`, with DATABASE_URL in the environment.

`serve` refreshes every LAB_USAGE_REFRESH_SECONDS (60), and compares with the log every night at LAB_USAGE_CHECK_HOUR
(3, on the host's clock); LAB_LOG_RETENTION says at what age the gateway removes rows. `health` fails when the last
refresh is more than five minutes ago.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import psycopg  # type: ignore[import-not-found, unused-ignore]  # is in the gateway's environment only

from litellm_hub.gateway.rollup.work import check, refresh

CONNECT_TIMEOUT_S = 5
HEALTHY = "5 minutes"
RETRY_S = 5.0


class Service:
    """Refreshes again and again until it is asked to end."""

    def __init__(self, url: str, *, interval_s: float, check_hour: int, retention: str | None) -> None:
        self.url, self.interval_s, self.check_hour, self.retention = url, interval_s, check_hour, retention
        self.ending = threading.Event()
        self.due = 0.0
        self.said = ""

    def run(self) -> None:
        """Work until `ending` is set; a database that is down or not migrated yet is waited for."""
        while not self.ending.is_set():
            try:
                with connect(self.url) as connection:
                    self.work(connection)
            except psycopg.Error as error:
                self.say(f"the roll-up waits for the database: {str(error).strip()}")
            self.ending.wait(RETRY_S)

    def work(self, connection: Any) -> None:
        """Refresh on one connection until the service ends."""
        while not self.ending.is_set():
            self.refresh(connection)
            if self.check_is_due(connection):
                repaired = check(connection, go_on=lambda: self.go_on(connection))
                print(f"compared with the log, {repaired} quarter hours repaired", flush=True)
            self.ending.wait(max(0.0, self.due - time.monotonic()))

    def refresh(self, connection: Any) -> None:
        """Refresh once and say so when that ends a trouble."""
        self.due = time.monotonic() + self.interval_s
        refresh(connection, retention=self.retention, go_on=lambda: self.go_on(connection, first_time=True))
        self.say("the roll-up is refreshed")

    def go_on(self, connection: Any, *, first_time: bool = False) -> bool:
        """Between the steps of long work: refresh when that is due, and tell whether the service goes on."""
        if time.monotonic() >= self.due and not first_time:
            self.refresh(connection)
        return not self.ending.is_set() and not (first_time and time.monotonic() >= self.due)

    def check_is_due(self, connection: Any) -> bool:
        """Whether a night has begun since the last comparison."""
        night = datetime.now().astimezone().replace(hour=self.check_hour, minute=0, second=0, microsecond=0)
        if night > datetime.now().astimezone():
            night -= timedelta(days=1)
        row = connection.execute("SELECT checked_at < %s FROM lab_usage.state", (night,)).fetchone()
        connection.commit()
        return bool(row and row[0])

    def say(self, words: str) -> None:
        """Print what is new."""
        if words != self.said:
            self.said = words
            print(words, flush=True)


def connect(url: str) -> Any:
    """Connect; the caller's transactions are explicit."""
    return psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="litellm_hub.gateway.rollup")


def serve(url: str) -> None:
    """Run the service until SIGTERM or SIGINT."""
    service = Service(
        url,
        interval_s=float(os.environ.get("LAB_USAGE_REFRESH_SECONDS") or 60),
        check_hour=int(os.environ.get("LAB_USAGE_CHECK_HOUR") or 3),
        retention=os.environ.get("LAB_LOG_RETENTION"),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.ending.set())
    service.run()


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m litellm_hub.gateway.rollup", description="Keep the usage roll-up up to date."
    )
    parser.add_argument("command", choices=["serve", "refresh", "check", "health"])
    command = parser.parse_args().command
    url = os.environ.get("DATABASE_URL")
    if not url:
        sys.exit("DATABASE_URL is not set: give the address of the hub's database, as a role that may refresh")
    if command == "serve":
        serve(url)
        return
    try:
        with connect(url) as connection:
            if command == "refresh":
                print(f"{refresh(connection, retention=os.environ.get('LAB_LOG_RETENTION'))} rows of the log read")
            elif command == "check":
                print(f"{check(connection)} quarter hours repaired")
            else:
                fresh = connection.execute(
                    "SELECT coalesce(refreshed_at > now() - %s::interval, false) FROM lab_usage.state", (HEALTHY,)
                ).fetchone()
                sys.exit(0 if fresh == (True,) else f"the last refresh is more than {HEALTHY} ago")
    except psycopg.Error as error:
        sys.exit(f"The roll-up cannot be reached: {str(error).strip()}")


if __name__ == "__main__":
    main()
