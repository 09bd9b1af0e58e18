"""The callback LiteLLM runs around each call: checks the prompt, and lets no answer go before its usage is on disk."""

import asyncio
import inspect
import logging
import uuid
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils.core_helpers import budget_reservation_from_metadata, get_litellm_metadata_from_kwargs

from litellm_hub.proxy import guards
from litellm_hub.proxy.journal import Journal, JournalError

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
TICKET = "lab_usage_ticket"
COUNTED = "lab_prompt_tokens"


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

    def __init__(self) -> None:
        """Start undecided; belongs to the running event loop."""
        self.ticket = uuid.uuid4().hex
        self.prompt_tokens: int | None = None  # as the row has them, once recorded
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
            raise UsageNotRecordedError(failure)


class LabHandler(CustomLogger):
    """Guards and accounting as one LiteLLM callback."""

    def __init__(
        self, journal: Journal, proxy: Any, rows: Any, refuse: Callable[[guards.ContextLengthError], Exception]
    ) -> None:
        """Take what is specific to the running proxy.

        Args:
            journal: Where usage entries go.
            proxy: LiteLLM's module `proxy_server`: its router, caches and spend counters.
            rows: The module `rows`, which makes entries of LiteLLM's words and needs a running proxy.
            refuse: Turns the guard's error into the proxy's own error type.
        """
        super().__init__()
        self.unpriced = 0  # answers of priced models for which LiteLLM found no price
        self._journal = journal
        self._proxy = proxy
        self._rows = rows
        self._refuse = refuse
        self._watches: weakref.WeakValueDictionary[str, Watch] = weakref.WeakValueDictionary()
        self._counting: set[asyncio.Task[None]] = set()
        self._counted_by = inspect.signature(proxy.increment_spend_counters).parameters

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Begin to watch the call's usage, and refuse a prompt longer than the model's context."""
        logging_obj = data.get("litellm_logging_obj")
        if call_type not in CALLS or logging_obj is None:
            return
        if self._proxy.general_settings.get("disable_spend_updates") is not True:
            raise JournalError("general_settings.disable_spend_updates must be true: the journal is the only writer")
        watch = Watch()
        setattr(logging_obj, TICKET, watch)
        logging_obj.model_call_details[TICKET] = watch.ticket
        self._watches[watch.ticket] = watch
        context = guards.widest_context(self._deployments(str(data.get("model"))))
        if context is None or "embedding" in call_type:
            return
        try:
            setattr(logging_obj, COUNTED, await guards.check_prompt(data, context))
        except guards.ContextLengthError as error:
            raise self._refuse(error) from error

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> None:
        """Hold a plain answer until its usage is on disk; refuse one that the runtime did not finish."""
        logging_obj = data.get("litellm_logging_obj")
        watch: Watch | None = getattr(logging_obj, TICKET, None)
        if logging_obj is None or watch is None:
            return
        if (deferred := logging_obj.enqueue_deferred_logging) is not None:
            logging_obj.enqueue_deferred_logging = None  # with guardrails, LiteLLM would log only after this hook
            deferred()
        await self._recorded(watch, data)
        if _is_cut(logging_obj.model_call_details):
            raise _recorded(guards.cut_answer(data.get("model"), logging_obj.model_call_details["custom_llm_provider"]))

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Pass a stream on, but hold back its end until the usage is on disk.

        The chunk with the finish reason already tells a client that the answer is whole, so it waits as well.
        """
        watch: Watch | None = getattr(request_data.get("litellm_logging_obj"), TICKET, None)
        held: list[Any] = []
        async for chunk in response:
            if watch is not None and (held or guards.is_final(chunk)):
                held.append(chunk)
            else:
                yield chunk
        if watch is None:
            return
        if not held:
            raise guards.cut_answer(request_data.get("model"), "")
        self._proxy.ProxyLogging.fire_deferred_stream_logging(request_data)
        await self._recorded(watch, request_data)
        for chunk in held:
            yield chunk

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Put an answered call into the journal and its cost into the counters that budgets are checked by."""
        watch = self._watches.get(str(kwargs.get(TICKET)))
        try:
            metadata = get_litellm_metadata_from_kwargs(kwargs)
            cost = (kwargs.get("standard_logging_object") or kwargs).get("response_cost")
            if kwargs.get("call_type") not in CALLS and cost is None:
                return  # neither an answer of a model nor something that costs
            entry, unpriced = self._rows.succeeded(kwargs, response_obj, start_time, end_time)
            self.unpriced += unpriced
            if _is_cut(kwargs):
                entry["row"]["status"] = "failure"
            if watch:
                watch.prompt_tokens = entry["row"].get("prompt_tokens")
            await self._record(entry, start_time, budget_reservation_from_metadata(metadata))
        except Exception as error:
            log.exception("Usage journal: an entry was not written")
            if watch:
                watch.decide(str(error) or type(error).__name__)
        else:
            if watch:
                watch.decide()

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Put a failed call of a known key into the journal; a wrong key leaves no row."""
        if getattr(original_exception, TICKET, False) or not await self._is_known(user_api_key_dict):
            return
        try:
            entry = self._rows.failed(request_data, original_exception, user_api_key_dict)
            await self._record(entry, request_data.get("start_time"), None)
        except Exception:
            log.exception("Usage journal: the entry of a failed call was not written")

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
                limits = held.get("budget_limits")
                entry["windows"] += self._rows.windows(kind, of, limits)
        counting = asyncio.ensure_future(self._count(entry, start, reservation))
        self._counting.add(counting)
        counting.add_done_callback(self._counted)
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

    def _counted(self, counting: asyncio.Task[None]) -> None:
        self._counting.discard(counting)
        if not counting.cancelled() and (error := counting.exception()) is not None:
            log.error("Usage journal: LiteLLM's counters do not know of a call: %r", error)

    async def _recorded(self, watch: Watch, data: dict[str, Any]) -> None:
        await watch.recorded()
        counted = getattr(data["litellm_logging_obj"], COUNTED, None)
        guards.warn_if_prompt_was_cut(data.get("model"), counted, watch.prompt_tokens)

    def _deployments(self, model: str) -> Sequence[Mapping[str, Any]]:
        router = self._proxy.llm_router
        return (router.get_model_list(model_name=model) or []) if router is not None else []


# The one handler of this process: LiteLLM may load its callbacks again, and the journal has one owner.
installed: LabHandler | None = None


def _is_cut(details: Mapping[str, Any]) -> bool:
    """Tell whether a plain answer ended before the runtime said so; of streams the stream's own guard knows."""
    plain = details.get("stream") is not True and details.get("custom_llm_provider") in guards.PROVIDERS
    return plain and guards.lacks_ending(details.get("original_response"))


def _recorded(error: Exception) -> Exception:
    """Mark an error whose call has its row already."""
    setattr(error, TICKET, True)
    return error
