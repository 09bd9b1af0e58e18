"""The one writer of usage: moves entries from the journal to the database, row and spend in one statement.

An entry is applied exactly once: its id goes into the ledger `lab.spend_journal` in the same statement, and an entry
whose id stands there already is dropped. The statement is built for the tables and columns that the database has, so
that another version of LiteLLM needs no change here.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Set
from typing import Any

import psycopg

from litellm_hub.gateway.columns import current
from litellm_hub.gateway.journal import Journal, Place
from litellm_hub.gateway.statement import COLUMNS, applying

log = logging.getLogger("litellm_hub.journal")

BATCH_ENTRIES = 200
FLUSH_SECONDS = 1.0
LATE_SECONDS = 60.0  # an entry that has waited longer is worth a word
_OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c timezone=UTC"
# SQLSTATE classes of a database in trouble, or of rows in use: never the entry's fault, so it waits.
_NOT_THE_ENTRY = ("08", "40", "53", "55", "57P", "58")


class Writer:
    """Applies what waits in the journal, in a thread of its own."""

    def __init__(self, journal: Journal, database_url: str, row_columns: Set[str]) -> None:
        """Take what belongs together; `catch_up`, then `start`.

        Args:
            journal: Holds the entries; see `rows.py` for what is in one.
            database_url: Where LiteLLM's tables and the ledger are.
            row_columns: Columns that entries may give a row of the log.
        """
        self._journal = journal
        self._url = database_url
        self._row_columns = row_columns
        self._database: psycopg.Connection[Any] | None = None
        self._statement = ""
        self._trouble = ""
        self._told = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage-writer", daemon=True)

    def catch_up(self) -> None:
        """Apply what an earlier process left, however long the database takes: budgets must know of it."""
        while not self._turn():
            self._stopping.wait(FLUSH_SECONDS)

    def start(self) -> None:
        """Begin to apply entries as they come."""
        self._thread.start()

    def stop(self) -> None:
        """Apply what waits, once more, and end."""
        self._stopping.set()
        self._journal.arrived.set()
        self._thread.join()
        if self._database is not None:
            self._database.close()

    def state(self) -> tuple[int, float, int, str]:
        """Return how many entries wait, for how many seconds the oldest, how many were set aside, and what is wrong."""
        waiting = self._journal.waiting()
        oldest = time.time() - waiting[0].since if waiting else 0.0
        return len(waiting), round(oldest, 1), self._journal.set_aside_count, self._trouble

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._journal.arrived.wait()
            self._stopping.wait(FLUSH_SECONDS)  # what comes meanwhile shares a transaction
            self._journal.arrived.clear()
            if not self._turn() or self._journal.waiting():
                self._journal.arrived.set()
            waiting, oldest, _, trouble = self.state()
            if oldest > LATE_SECONDS and time.monotonic() - self._told > LATE_SECONDS:
                self._told = time.monotonic()
                log.error("Usage journal: %d entries wait, the oldest for %.0f s %s", waiting, oldest, trouble)

    def _turn(self) -> bool:
        """Go over all that waits once; return whether the database took what can be read."""
        trouble = ""
        try:
            waiting = self._journal.waiting()
            for first in range(0, len(waiting), BATCH_ENTRIES):
                self._apply(waiting[first : first + BATCH_ENTRIES])
            self._forget()
        except psycopg.Error as error:
            trouble = str(error)
        except Exception as error:  # without this thread no entry would be applied any more
            log.exception("Usage journal: the entries wait")
            trouble = str(error)
        if trouble not in ("", self._trouble):
            log.warning("Usage journal: the database does not take the entries, they wait: %s", trouble)
        self._trouble = trouble
        return not trouble

    def _apply(self, places: list[Place]) -> None:
        entries: list[dict[str, Any]] = []
        try:
            entries = self._journal.read(places)
            self._execute(entries, places)
        except psycopg.Error as error:
            if self._is_at_fault(error):
                raise
            reason = f"{error.sqlstate}: {error}"
        except (OSError, ValueError) as error:
            reason = f"it cannot be read: {error}"
            if len(places) == 1 and isinstance(error, OSError):
                return  # it waits: the file may come back
        else:
            self._journal.settle(places)
            return
        if len(places) > 1:  # one of them is at fault: the others must pass
            for place in places:
                self._apply([place])
            return
        log.error("Usage journal: an entry is refused and set aside: %s", reason)
        self._journal.set_aside(entries[0] if entries else {"place": str(places[0])}, reason)
        self._journal.settle(places)

    def _execute(self, entries: list[dict[str, Any]], places: list[Place]) -> None:
        told = [{**current(entry), "segment": place.segment} for entry, place in zip(entries, places, strict=True)]
        values = {"entries": json.dumps(told), "journal": self._journal.journal_id}
        [(applied,)] = self._connection().execute(self._statement, values).fetchall()
        if applied < len(entries):
            log.warning("Usage journal: %d entries were applied before and are dropped", len(entries) - applied)

    def _is_at_fault(self, error: psycopg.Error) -> bool:
        """Tell whether the database, not the entry, is at fault: then an entry that asks for nothing fails too."""
        connection = self._database
        if connection is None or connection.broken or (error.sqlstate or "").startswith(_NOT_THE_ENTRY):
            return True
        row = {"request_id": str(uuid.uuid4()), "call_type": "", "api_key": "", "spend": 0, "model": ""}
        row |= dict.fromkeys(("startTime", "endTime"), "2000-01-01T00:00:00") | {"total_tokens": 0, "prompt_tokens": 0}
        harmless = {"id": str(uuid.uuid4()), "row": row | {"completion_tokens": 0}, "windows": []}
        try:
            with connection.transaction(force_rollback=True):
                values = {"entries": json.dumps([harmless | {"segment": ""}]), "journal": self._journal.journal_id}
                connection.execute(self._statement, values)
        except psycopg.Error:
            return True
        return False

    def _forget(self) -> None:
        """Let the ledger forget the segments that are finished, then delete them."""
        finished = self._journal.finished()
        if finished:
            forget = "DELETE FROM lab.spend_journal WHERE journal_id = %s AND segment = ANY(%s)"
            self._connection().execute(forget, (self._journal.journal_id, finished))
            self._journal.delete(finished)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._database is None or self._database.closed:
            self._database = psycopg.connect(self._url, autocommit=True, connect_timeout=10, options=_OPTIONS)
            tables = {table: frozenset(columns) for table, columns in self._database.execute(COLUMNS).fetchall()}
            self._statement = applying(tables, self._row_columns)
        return self._database
