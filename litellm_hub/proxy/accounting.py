"""Applies journal entries to LiteLLM's database: usage rows and every spend figure, each exactly once.

A batch is one transaction. It first writes the entries' ids to a ledger and drops the ones that stand there
already, then runs LiteLLM's own accounting (litellm 1.106.2, `proxy/db/db_spend_update_writer.py`) on a private
writer whose database is that transaction.
"""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from litellm_hub.proxy.journal import Journal, Locator

log = logging.getLogger("litellm_hub.journal")

BATCH_ENTRIES = 200
_TRANSACTION_LIMIT = timedelta(seconds=60)
_TRANSACTION_WAIT = timedelta(seconds=10)

_CLAIM = """
INSERT INTO lab.spend_journal (entry_id, journal_id, segment)
SELECT entry.id, $1::uuid, entry.segment FROM jsonb_to_recordset($2::jsonb) AS entry(id uuid, segment text)
ON CONFLICT (entry_id) DO NOTHING RETURNING entry_id::text AS id
"""
_PRUNE = """
DELETE FROM lab.spend_journal
WHERE journal_id = $1::uuid AND segment NOT IN (SELECT jsonb_array_elements_text($2::jsonb))
"""
_KNOWN_REQUESTS = """
SELECT request_id FROM "LiteLLM_SpendLogs"
WHERE request_id IN (SELECT jsonb_array_elements_text($1::jsonb))
"""

_DATA_REFUSED = frozenset({"22", "23"})  # SQLSTATE classes: data exception, integrity constraint violation
# In a JSON document inside a text column: the escape itself, not one whose backslash is escaped.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class _OneTransaction:
    """LiteLLM's database client, whose `db` and whose every `db.tx()` is one open transaction."""

    def __init__(self, client: Any, transaction: Any) -> None:
        self._client = client
        self.db = _Transaction(transaction)
        self.model_usage_transactions: list[Any] = []
        self._model_usage_transactions_lock = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Transaction:
    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction

    @asynccontextmanager
    async def tx(self, **_limits: Any) -> Any:
        yield self._transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)


class Accountant:
    """Moves entries from the journal to the database."""

    def __init__(self, journal: Journal) -> None:
        """Serve `journal`; nothing is written before `flush`."""
        self._journal = journal
        self._turn = asyncio.Lock()
        self._pruned = False

    async def flush(self, client: Any, proxy_logging: Any) -> int:
        """Apply all entries that wait.

        Args:
            client: LiteLLM's `PrismaClient`.
            proxy_logging: LiteLLM's `ProxyLogging`, for its alerts and caches.

        Returns:
            The number of entries applied or rejected.

        Raises:
            Exception: The database did not take a batch; its entries stay in the journal.
        """
        done = 0
        async with self._turn:
            while places := self._journal.waiting(BATCH_ENTRIES):
                await self._apply(client, proxy_logging, places)
                done += len(places)
            if not self._pruned:
                await self._prune(client)
        return done

    async def _apply(self, client: Any, proxy_logging: Any, places: list[Locator]) -> None:
        entries = await asyncio.to_thread(self._journal.read, places)
        try:
            await self._commit(client, proxy_logging, entries, places)
        except Exception as error:
            if not is_refused_data(error):
                raise
            if len(places) > 1:  # find the entry the database refuses: the others must pass
                middle = len(places) // 2
                await self._apply(client, proxy_logging, places[:middle])
                await self._apply(client, proxy_logging, places[middle:])
                return
            await self._rescue(client, proxy_logging, entries[0], places[0], error)
        if await asyncio.to_thread(self._journal.settle, len(places)):
            self._pruned = False

    async def _prune(self, client: Any) -> None:
        """Let the ledger forget the entries of segments that exist no more."""
        live = json.dumps(self._journal.segments())
        await client.db.execute_raw(_PRUNE, self._journal.journal_id, live)
        self._pruned = True

    async def _commit(self, client: Any, proxy_logging: Any, entries: list[Any], places: list[Locator]) -> None:
        claims = [{"id": entry["id"], "segment": place.segment} for entry, place in zip(entries, places, strict=True)]
        async with client.db.tx(timeout=_TRANSACTION_LIMIT, max_wait=_TRANSACTION_WAIT) as transaction:
            claimed = await transaction.query_raw(_CLAIM, self._journal.journal_id, json.dumps(claims))
            new = {row["id"] for row in claimed}
            fresh = [entry for entry in entries if entry["id"] in new]
            if len(fresh) < len(entries):
                log.warning("Usage journal: %d entries were applied before and are dropped", len(entries) - len(fresh))
            inside = _OneTransaction(client, transaction)
            rows = await self._write_rows(inside, [entry["payload"] for entry in fresh if entry["row"]])
            await self._write_spend(inside, proxy_logging, fresh)
            # PostgreSQL turns the commit of a failed transaction into a silent rollback; this statement fails first.
            await transaction.query_raw("SELECT 1 AS alive")
        await _count_guardrails(client, rows)

    async def _write_rows(self, client: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from litellm.proxy.spend_tracking.spend_tracking_utils import (
            configured_spend_logs_metadata_fields,
            spend_log_row_with_retained_metadata,
        )

        if not rows:
            return []
        ids = json.dumps([row["request_id"] for row in rows])
        taken = {known["request_id"] for known in await client.db.query_raw(_KNOWN_REQUESTS, ids)}
        for row in rows:
            row["request_id"] = free_request_id(row["request_id"], taken)
            taken.add(row["request_id"])
        fields = configured_spend_logs_metadata_fields()
        data = [client.jsonify_object(spend_log_row_with_retained_metadata(row, fields)) for row in rows]
        await client.db.litellm_spendlogs.create_many(data=data)
        return rows

    async def _write_spend(self, client: Any, proxy_logging: Any, entries: list[Any]) -> None:
        from litellm.proxy.db.db_spend_update_writer import DBSpendUpdateWriter
        from litellm.proxy.db.model_usage_rollup import flush_model_usage_transactions

        writer = DBSpendUpdateWriter()
        daily: dict[Any, Any] = {
            writer.daily_spend_update_queue: DBSpendUpdateWriter.update_daily_user_spend,
            writer.daily_team_spend_update_queue: DBSpendUpdateWriter.update_daily_team_spend,
            writer.daily_org_spend_update_queue: DBSpendUpdateWriter.update_daily_org_spend,
            writer.daily_end_user_spend_update_queue: DBSpendUpdateWriter.update_daily_end_user_spend,
            writer.daily_agent_spend_update_queue: DBSpendUpdateWriter.update_daily_agent_spend,
            writer.daily_tag_spend_update_queue: DBSpendUpdateWriter.update_daily_tag_spend,
        }
        for filled in (writer.spend_update_queue, *daily):
            filled.update_queue = asyncio.Queue()  # LiteLLM's own is bounded and would block without a consumer
            filled.MAX_SIZE_IN_MEMORY_QUEUE = sys.maxsize
        for entry in entries:
            await writer._batch_database_updates(prisma_client=client, payload=entry["payload"], **entry["spend"])
        how: dict[str, Any] = {"n_retry_times": 0, "prisma_client": client, "proxy_logging_obj": proxy_logging}
        await writer._commit_spend_updates_to_db(
            db_spend_update_transactions=writer.spend_update_queue.get_aggregated_db_spend_update_transactions(
                _drain(writer.spend_update_queue)
            ),
            **how,
        )
        for queue, commit in daily.items():
            totals = queue.get_aggregated_daily_spend_update_transactions(_drain(queue))
            await commit(daily_spend_transactions=totals, **how)
        await flush_model_usage_transactions(client, client.model_usage_transactions, n_retry_times=0)

    async def _rescue(self, client: Any, proxy_logging: Any, entry: Any, place: Locator, error: Exception) -> None:
        """Apply a refused entry without the characters PostgreSQL cannot store, or else set it aside."""
        try:
            await self._commit(client, proxy_logging, [storable(entry)], [place])
        except Exception as again:
            if not is_refused_data(again):
                raise
            await asyncio.to_thread(self._journal.reject, entry, str(again))
            claim = json.dumps([{"id": entry["id"], "segment": place.segment}])
            await client.db.query_raw(_CLAIM, self._journal.journal_id, claim)
            log.error("Usage journal: the database refuses entry %s, set aside as rejected: %s", entry["id"], again)
        else:
            log.warning("Usage journal: entry %s was applied without characters unfit to store: %s", entry["id"], error)


def is_refused_data(error: Exception) -> bool:
    """Tell whether the entry itself is at fault, rather than the connection, a lock or a missing table."""
    from litellm.proxy.db.exception_handler import PrismaDBExceptionHandler as Kind
    from prisma.errors import FieldNotFoundError, InputError, MissingRequiredValueError

    state = Kind.postgres_sqlstate(error)
    if state is not None:
        return state[:2] in _DATA_REFUSED
    if Kind.is_database_service_unavailable_error(error):
        return False
    # The query engine reports a value of the wrong type as a field that it does not find.
    return isinstance(
        error, FieldNotFoundError | InputError | MissingRequiredValueError | KeyError | TypeError | ValueError
    )


def free_request_id(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, or with a suffix where a row has that id: callers can choose the id of a call."""
    free, number = wanted, 1
    while free in taken:
        number += 1
        free = f"{wanted}~{number}"
    return free


def storable(value: Any) -> Any:
    """Return `value` without NUL and lone surrogates, which PostgreSQL stores in neither text nor JSON."""
    if isinstance(value, str):
        text = _ESCAPED_NUL.sub(r"\1", value.replace("\x00", ""))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list) else value


def _drain(queue: Any) -> list[Any]:
    return [queue.update_queue.get_nowait() for _ in range(queue.update_queue.qsize())]


async def _count_guardrails(client: Any, rows: list[dict[str, Any]]) -> None:
    """Feed LiteLLM's guardrail statistics, which it derives from the rows it writes; no spend is in them."""
    from litellm.proxy.guardrails.usage_tracking import process_spend_logs_guardrail_usage

    try:
        await process_spend_logs_guardrail_usage(prisma_client=client, logs_to_process=rows)
    except Exception as error:  # noqa: BLE001 - statistics must not hold up the accounts
        log.warning("Guardrail statistics were not updated: %s", error)
