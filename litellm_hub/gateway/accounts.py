"""Puts each call into the journal once, and its cost into the counters by which LiteLLM checks budgets."""

import asyncio
import inspect
import logging
import uuid
import weakref
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any

from litellm.litellm_core_utils.core_helpers import budget_reservation_from_metadata, get_litellm_metadata_from_kwargs

from litellm_hub.gateway import guards
from litellm_hub.gateway.journal import Journal, JournalError

log = logging.getLogger("litellm_hub.journal")

# The calls whose answers wait for their entry. Others are recorded when LiteLLM prices them, but nothing waits.
CALLS = frozenset(
    {
        *("completion", "acompletion", "text_completion", "atext_completion"),
        *("embeddings", "embedding", "aembedding", "responses", "aresponses", "anthropic_messages"),
    }
)
PATHS = ("/chat/completions", "/completions", "/responses", "/messages", "/embeddings")
RECORD_SECONDS = 10.0
COUNTER_SECONDS = 2.0
LEFT_SECONDS = 5.0  # for LiteLLM to report a stream whose caller has left
_TICKET = "lab_usage_ticket"


class UsageNotRecordedError(Exception):
    """The usage of a call could not be made durable, so its answer is withheld (HTTP 503)."""

    status_code = 503
    type = "usage_not_recorded"
    param = None
    code = "usage_not_recorded"

    def __init__(self, reason: str) -> None:
        """Say why, in words for the caller."""
        self.message = f"The usage of this call could not be recorded, so its answer is withheld: {reason}"
        super().__init__(self.message)


class Watch:
    """What becomes of one call's usage entry; it lives as long as the call's logging object."""

    def __init__(self, used: Callable[[int], None] = lambda tokens: None) -> None:
        """Start undecided; belongs to the running event loop.

        Args:
            used: Is told how many tokens the call has read and written, once that is known.
        """
        self.used = used
        self.ticket = uuid.uuid4().hex
        self.prompt_tokens: int | None = None  # as the row has them, once recorded
        self.claimed = False  # the call's one entry is made, or being made
        self._done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def decide(self, failure: str = "") -> None:
        """Say that the entry is on disk, or why it is not; only the first word counts."""
        if not self._done.done():
            self._done.set_result(failure)

    async def recorded(self) -> None:
        """Wait until the entry is on disk.

        Raises:
            UsageNotRecordedError: Not within `RECORD_SECONDS`, or writing failed.
        """
        try:
            failure = await asyncio.wait_for(asyncio.shield(self._done), RECORD_SECONDS)
        except TimeoutError:
            self.decide(failure := f"no entry within {RECORD_SECONDS:g} s")
        if failure:
            log.error("Usage of a call was not recorded, its answer is withheld: %s", failure)
            raise has_row(UsageNotRecordedError(failure))


def has_row(error: Exception) -> Exception:
    """Mark an error whose call has its row, or gets it when LiteLLM reports the answer that was withheld."""
    setattr(error, _TICKET, True)
    return error


class Accounts:
    """Makes one entry of each call, whatever way it ends."""

    def __init__(self, journal: Journal, proxy: Any, rows: Any) -> None:
        """Take what belongs together.

        Args:
            journal: Where entries go.
            proxy: LiteLLM's module `proxy_server`: its settings, caches and spend counters.
            rows: The module `rows`, which makes entries of LiteLLM's words and needs a running proxy.
        """
        self.unpriced = 0  # answers of priced models for which LiteLLM found no price
        self._journal = journal
        self._proxy = proxy
        self._rows = rows
        self._watches: weakref.WeakValueDictionary[str, Watch] = weakref.WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counted_by = inspect.signature(proxy.increment_spend_counters).parameters

    def expect(self, logging_obj: Any, used: Callable[[int], None] = lambda tokens: None) -> None:
        """Begin to watch the call of a logging object.

        Args:
            logging_obj: LiteLLM's.
            used: See `Watch`.

        Raises:
            JournalError: LiteLLM's own writer is not switched off.
        """
        if self._proxy.general_settings.get("disable_spend_updates") is not True:
            raise JournalError("general_settings.disable_spend_updates must be true: the journal is the only writer")
        watch = Watch(used)
        setattr(logging_obj, _TICKET, watch)
        logging_obj.model_call_details[_TICKET] = watch.ticket
        self._watches[watch.ticket] = watch

    def watch(self, data: Mapping[str, Any]) -> Watch | None:
        """Return the watch of a request, if its call is watched."""
        return getattr(data.get("litellm_logging_obj"), _TICKET, None)

    async def succeeded(self, details: dict[str, Any], response: Any, start: datetime, end: datetime) -> None:
        """Record an answered call, as LiteLLM reports it."""
        watch = self._watches.get(str(details.get(_TICKET)))
        cost = (details.get("standard_logging_object") or details).get("response_cost")
        if (watch and watch.claimed) or (details.get("call_type") not in CALLS and cost is None):
            return  # it has its row, or is neither an answer of a model nor something that costs
        if watch:
            watch.claimed = True
        try:
            entry, unpriced = self._rows.succeeded(details, response, start, end)
            self.unpriced += unpriced
            if is_cut(details):
                entry["row"]["status"] = "failure"
            if watch:
                watch.prompt_tokens = entry["row"].get("prompt_tokens")
                watch.used(entry["row"].get("total_tokens") or 0)
            metadata = get_litellm_metadata_from_kwargs(details)
            await self._record(entry, start, budget_reservation_from_metadata(metadata))
        except Exception as error:  # LiteLLM would swallow it: the watch withholds the answer
            log.exception("Usage journal: an entry was not written")
            if watch:
                watch.claimed = False
                watch.decide(str(error) or type(error).__name__)
        else:
            if watch:
                watch.decide()

    async def failed(self, request: Mapping[str, Any], error: Exception, caller: Any) -> None:
        """Record a call that failed, if its key is a known one: a wrong key leaves no row."""
        if getattr(error, _TICKET, False) or not await self._is_known(caller):
            return
        try:
            entry = self._rows.failed(request, error, caller)
            await self._record(entry, request.get("start_time"), None)
        except Exception:  # the caller must hear of the call's own error, not of this one
            log.exception("Usage journal: the entry of a failed call was not written")

    def left(self, data: Mapping[str, Any], watch: Watch, pieces: int) -> None:
        """Record a stream whose caller has left after so many pieces, unless LiteLLM reports it by itself."""
        self._begin(self._left(data["litellm_logging_obj"], data, watch, pieces))

    async def _left(self, logging_obj: Any, data: Mapping[str, Any], watch: Watch, pieces: int) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(watch._done), LEFT_SECONDS)
        except TimeoutError:
            read = await asyncio.to_thread(guards.count_prompt, data)
            usage = {"prompt_tokens": read, "completion_tokens": pieces, "total_tokens": read + pieces}
            details = {**logging_obj.model_call_details, "response_cost": None, "standard_logging_object": None}
            answer = {"id": logging_obj.litellm_call_id, "usage": usage}
            await self.succeeded(details, answer, logging_obj.start_time, datetime.now())

    async def _is_known(self, caller: Any) -> bool:
        route = str(getattr(caller, "request_route", "") or "")
        if not route.endswith(PATHS) or not caller.api_key:
            return False
        is_admin = caller.user_role is not None and "proxy_admin" in str(caller.user_role)
        return is_admin or await self._proxy.user_api_key_cache.async_get_cache(key=caller.api_key) is not None

    async def _record(self, entry: dict[str, Any], start: Any, reservation: dict[str, Any] | None) -> None:
        """Make an entry durable and let the counters know of it.

        Raises:
            JournalError, TimeoutError: The entry is not on disk.
        """
        for kind, column, prefix in (("key", "api_key", ""), ("team", "team_id", "team_id:")):
            if of := entry["row"].get(column):
                payer = await self._proxy.user_api_key_cache.async_get_cache(key=prefix + of)
                held = payer if isinstance(payer, dict) else vars(payer) if payer is not None else {}
                entry["windows"] += self._rows.windows(kind, of, held.get("budget_limits"))
        counting = self._begin(self._count(entry, start, reservation))
        await asyncio.wait_for(asyncio.wrap_future(self._journal.append(entry)), RECORD_SECONDS)
        # The next request's budget must know of this one, but a stalled database must not hold the answer.
        await asyncio.wait({counting}, timeout=COUNTER_SECONDS)

    async def _count(self, entry: dict[str, Any], start: Any, reservation: dict[str, Any] | None) -> None:
        row = entry["row"]
        known = {
            "token": row["api_key"] or None,
            "team_id": row["team_id"] or None,
            "user_id": row["user"] or None,
            "org_id": row.get("organization_id") or None,
            "end_user_id": row.get("end_user") or None,
            "project_id": entry["project"],
            "tags": row["request_tags"],
            "response_cost": row["spend"],
            "budget_reservation": reservation,
            "request_started_at": start,
        }
        await self._proxy.increment_spend_counters(**{name: known[name] for name in known if name in self._counted_by})
        # It also queues the budget windows for LiteLLM's own writer, which would count them a second time.
        queue = self._proxy.proxy_logging_obj.db_spend_update_writer.window_spend_update_queue
        await queue.flush_and_get_aggregated_window_spend_transactions()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Usage journal: something was left undone for a call: %r", error)


def is_cut(details: Mapping[str, Any]) -> bool:
    """Tell whether a plain answer ended before the runtime said so; of streams the stream's own guard knows."""
    plain = details.get("stream") is not True and details.get("custom_llm_provider") in guards.PROVIDERS
    return plain and guards.lacks_ending(details.get("original_response"))
