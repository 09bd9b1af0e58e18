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
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg

from litellm_hub.proxy.journal import Journal, Place
from litellm_hub.proxy.statement import applying

log = logging.getLogger("litellm_hub.journal")

BATCH_ENTRIES = 200
FLUSH_SECONDS = 1.0
LATE_SECONDS = 60.0  # an entry that has waited longer is worth a word
_OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c timezone=UTC"
# SQLSTATE classes of a database in trouble, or of rows in use: never the entry's fault, so it waits.
_NOT_THE_ENTRY = ("08", "40", "53", "55", "57P", "58")
_COLUMNS = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1
"""


class Writer:
    """Applies what waits in the journal, in a thread of its own."""

    def __init__(self, journal: Journal, database_url: str, row_columns: Set[str]) -> None:
        """Take what belongs together; `catch_up`, then `start`.

        Args:
            journal: Holds the entries; see `rows.entry` for what is in one.
            database_url: Where LiteLLM's tables and the ledger are.
            row_columns: Columns that entries may give a row of the log.
        """
        self._journal = journal
        self._url = _for_libpq(database_url)
        self._row_columns = row_columns
        self._database: psycopg.Connection[Any] | None = None
        self._statement = ""
        self._trouble = ""
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

    def state(self) -> dict[str, Any]:
        """Return what readiness says: entries that wait, the oldest one's seconds, and how many were set aside."""
        waiting = self._journal.waiting()
        oldest = round(time.time() - waiting[0].since, 1) if waiting else 0.0
        warnings = []
        if waiting and oldest > LATE_SECONDS:
            reason = f": {self._trouble}" if self._trouble else ""
            warnings.append(f"The usage log is {oldest:.0f} s behind, {len(waiting)} requests wait{reason}")
        if self._journal.set_aside_count:
            warnings.append(
                f"{self._journal.set_aside_count} requests could not be put into the usage log: see rejected.jsonl"
            )
        return {
            "journal": {"waiting": len(waiting), "oldest_s": oldest, "set_aside": self._journal.set_aside_count},
            "warnings": warnings,
        }

    def _run(self) -> None:
        said = time.monotonic()
        while not self._stopping.is_set():
            self._journal.arrived.wait()
            self._stopping.wait(FLUSH_SECONDS)  # what comes meanwhile shares a transaction
            self._journal.arrived.clear()
            if not self._turn():
                self._journal.arrived.set()
            if self.state()["warnings"] and time.monotonic() - said > LATE_SECONDS:
                said = time.monotonic()
                log.error("Usage journal: %s", "; ".join(self.state()["warnings"]))

    def _turn(self) -> bool:
        """Go over all that waits once; return whether the database was there."""
        try:
            waiting = self._journal.waiting()
            for first in range(0, len(waiting), BATCH_ENTRIES):
                self._apply(waiting[first : first + BATCH_ENTRIES])
            self._forget()
        except (psycopg.Error, OSError) as error:
            if str(error) != self._trouble:
                log.warning("Usage journal: the database does not take the entries, they wait: %s", error)
            self._trouble = str(error)
            return False
        self._trouble = ""
        return True

    def _apply(self, places: list[Place]) -> None:
        entries = self._journal.read(places)
        try:
            self._execute(entries, places)
        except psycopg.Error as error:
            if self._is_at_fault(error):
                raise
            if len(places) > 1:  # one of them is at fault: the others must pass
                for place in places:
                    self._apply([place])
                return
            log.error("Usage journal: the database refuses entry %s, it is set aside: %s", entries[0]["id"], error)
            self._journal.set_aside(entries[0], f"{error.sqlstate}: {error}")
        self._journal.settle(places)

    def _execute(self, entries: list[dict[str, Any]], places: list[Place]) -> None:
        segments = [{**entry, "segment": place.segment} for entry, place in zip(entries, places, strict=True)]
        values = {"entries": json.dumps(segments), "journal": self._journal.journal_id}
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
            tables = {table: frozenset(columns) for table, columns in self._database.execute(_COLUMNS).fetchall()}
            self._statement = applying(tables, self._row_columns)
        return self._database


def _for_libpq(url: str) -> str:
    """Leave out what LiteLLM adds to its address for Prisma, which libpq refuses."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name in known]
    return urlunsplit(parts._replace(query=urlencode(query)))
