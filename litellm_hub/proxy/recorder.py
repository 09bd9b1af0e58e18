"""Puts the journal between LiteLLM's accounting and its database (pinned to litellm 1.106.2).

`DBSpendUpdateWriter.update_database` passes everything that must be exact through two of its methods, the usage
row and then all spend figures. Both end up in one journal entry here, and LiteLLM's own periodic flush and its
shutdown apply the entries. Source: litellm/proxy/db/db_spend_update_writer.py.
"""

import asyncio
import hashlib
import importlib.metadata
import inspect
import logging
import uuid
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from litellm_hub.proxy.accounting import Accountant
from litellm_hub.proxy.journal import Journal, JournalError

log = logging.getLogger("litellm_hub.journal")

LITELLM_VERSION = "1.106.2"
RECORD_SECONDS = 10.0
TICKET = "lab_usage_ticket"
_RESPONSES = frozenset({"responses", "aresponses"})
_ASSEMBLED = frozenset({"complete_streaming_response", "async_complete_streaming_response"})


class Verdict(Enum):
    """What became of a call's usage entry."""

    RECORDED = "recorded"
    NOT_KEPT = "LiteLLM keeps no row of this call"
    FAILED = "failed"


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


class Outcome:
    """A promise of the verdict on one call; it lives as long as the call's logging object."""

    def __init__(self) -> None:
        """Start undecided; belongs to the running event loop."""
        self.ticket = uuid.uuid4().hex
        self.prompt_tokens: int | None = None  # as the usage row has them, once recorded
        self._verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._reason = ""

    def decide(self, verdict: Verdict, reason: str = "") -> None:
        """Set the verdict; later ones are ignored."""
        if not self._verdict.done():
            self._reason = reason
            self._verdict.set_result(verdict)

    async def recorded(self, seconds: float = RECORD_SECONDS) -> None:
        """Wait until the entry is on disk, or LiteLLM has decided to keep none.

        Raises:
            UsageNotRecordedError: Not within `seconds`, or writing failed.
        """
        try:
            verdict = await asyncio.wait_for(asyncio.shield(self._verdict), seconds)
        except TimeoutError:
            self.decide(Verdict.FAILED, f"no entry within {seconds:g} s")
            verdict = Verdict.FAILED
        if verdict is Verdict.FAILED:
            log.error("Usage of a call was not recorded, its answer is withheld: %s", self._reason)
            raise UsageNotRecordedError(self._reason)


@dataclass(slots=True)
class _Call:
    """What the three patched steps of one `update_database` call share."""

    keeps_row: bool | None = None
    prompt_tokens: int | None = None
    durable: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Recorder:
    """Diverts LiteLLM's accounting into the journal and applies it from there."""

    def __init__(
        self,
        journal: Journal,
        accountant: Accountant,
        *,
        is_batch_row: Callable[[Any], bool],
        spend_is_disabled: Callable[[], bool],
    ) -> None:
        """Take what belongs together; `install` puts it to work.

        Args:
            journal: Where entries go.
            accountant: Applies them.
            is_batch_row: LiteLLM's test for the row that stands for all retrieves of a batch.
            spend_is_disabled: Whether LiteLLM's configuration switches all accounting off.
        """
        self.journal = journal
        self.accountant = accountant
        self._is_batch_row = is_batch_row
        self._spend_is_disabled = spend_is_disabled
        self._outcomes: weakref.WeakValueDictionary[str, Outcome] = weakref.WeakValueDictionary()
        self._current: ContextVar[_Call | None] = ContextVar("lab_usage_call", default=None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._originals: dict[str, Callable[..., Any]] = {}
        self._flush_now: Callable[[], Any] | None = None

    def expect(self, logging_obj: Any) -> Outcome:
        """Return the outcome of the call that `logging_obj` belongs to, beginning to watch it if need be."""
        outcome: Outcome | None = getattr(logging_obj, TICKET, None)
        if outcome is None:
            outcome = Outcome()
            setattr(logging_obj, TICKET, outcome)
            logging_obj.model_call_details[TICKET] = outcome.ticket
            self._outcomes[outcome.ticket] = outcome
        return outcome

    def outcome_of(self, details: Any) -> Outcome | None:
        """Return the watched outcome of the call whose logging details these are."""
        ticket = details.get(TICKET) if isinstance(details, dict) else None
        return self._outcomes.get(ticket) if isinstance(ticket, str) else None

    def install(self, writer: Any, cost_logger: type, startup: Any) -> None:
        """Patch LiteLLM's spend writer, its cost logger class and its start-up sequence."""
        for name in ("update_database", "_record_spend_log", "_batch_database_updates"):
            self._originals[name] = getattr(writer, name)
            setattr(writer, name, getattr(self, f"_{name.lstrip('_')}"))
        flush_own = writer.db_update_spend_transaction_handler
        track_cost = cost_logger._PROXY_track_cost_callback  # type: ignore[attr-defined]
        start_jobs = startup.initialize_scheduled_background_jobs

        async def flush(prisma_client: Any, n_retry_times: int, proxy_logging_obj: Any) -> None:
            await self.flush(prisma_client, proxy_logging_obj)
            await flush_own(prisma_client, n_retry_times, proxy_logging_obj)

        async def track(logger: Any, kwargs: Any, *args: Any, **named: Any) -> None:
            await track_cost(logger, kwargs, *args, **named)
            outcome = self.outcome_of(kwargs)
            if outcome and (kwargs.get("stream") is not True or _ASSEMBLED & kwargs.keys()):
                self._decide_unwritten(outcome, kwargs)

        async def start(*args: Any, **named: Any) -> Any:
            # Before the first request: what an earlier run left must count when budgets are checked.
            client, proxy_logging = named["prisma_client"], named["proxy_logging_obj"]
            await self.flush(client, proxy_logging)
            self._flush_now = lambda: self.flush(client, proxy_logging)
            return await start_jobs(*args, **named)

        writer.db_update_spend_transaction_handler = flush
        cost_logger._PROXY_track_cost_callback = track  # type: ignore[attr-defined]
        startup.initialize_scheduled_background_jobs = start

    async def flush(self, client: Any, proxy_logging: Any) -> None:
        """Apply what waits in the journal; on failure it waits for the next turn."""
        try:
            await self.accountant.flush(client, proxy_logging)
        except Exception as error:
            log.exception("Usage journal: the database did not take the entries, they wait: %s", error)

    def _decide_unwritten(self, outcome: Outcome, details: dict[str, Any]) -> None:
        """Give the verdict on a call whose cost callback has ended; one that was recorded keeps its own."""
        cost = (details.get("standard_logging_object") or details).get("response_cost")
        if cost is None or self._spend_is_disabled():
            outcome.decide(Verdict.NOT_KEPT)  # LiteLLM keeps no row of a call it cannot price
        else:
            outcome.decide(Verdict.FAILED, "LiteLLM's accounting of this call failed; its log says why")

    async def _update_database(self, *args: Any, **named: Any) -> bool:
        original = self._originals["update_database"]
        outcome = self.outcome_of(inspect.signature(original).bind(*args, **named).arguments.get("kwargs"))
        call = _Call()
        token = self._current.set(call)
        try:
            charged: bool = await original(*args, **named)
        finally:
            self._current.reset(token)
        if charged and call.keeps_row is not None:
            try:
                await asyncio.wait_for(call.durable, RECORD_SECONDS)
            except (JournalError, TimeoutError) as error:
                reason = str(error) or f"the journal took longer than {RECORD_SECONDS:g} s"
                log.error("Usage journal: an entry was not written: %s", reason)
                if outcome:
                    outcome.decide(Verdict.FAILED, reason)
                raise
            if outcome:
                outcome.prompt_tokens = call.prompt_tokens
                outcome.decide(Verdict.RECORDED)
        elif charged and not self._spend_is_disabled() and outcome:
            outcome.decide(Verdict.FAILED, "LiteLLM could not build the usage row; its log says why")
        return charged

    async def _record_spend_log(self, **named: Any) -> bool:
        call = self._current.get()
        if call is None or self._is_batch_row(named["payload"]):
            # One row stands for all retrieves of a batch: LiteLLM claims it in the database at once.
            if call:
                call.keeps_row = False
            kept: bool = await self._originals["_record_spend_log"](**named)
            return kept
        call.keeps_row = named["disable_spend_logs"] is False
        return True

    async def _batch_database_updates(self, *, prisma_client: Any, payload: Any, **spend: Any) -> None:
        call = self._current.get()
        if call is None:
            await self._originals["_batch_database_updates"](prisma_client=prisma_client, payload=payload, **spend)
            return
        call.prompt_tokens = payload.get("prompt_tokens")
        try:
            entry = {"id": str(uuid.uuid4()), "row": call.keeps_row, "payload": payload, "spend": spend}
            await asyncio.wrap_future(self.journal.append(entry))
        except Exception as error:
            _settle(call.durable, error if isinstance(error, JournalError) else JournalError(str(error)))
            if not isinstance(error, JournalError):
                raise
        else:
            _settle(call.durable, None)
            if payload.get("call_type") in _RESPONSES and self._flush_now:
                # The next turn of a conversation may look its predecessor up in the database.
                task = asyncio.ensure_future(self._flush_now())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def _settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # mark as seen: the waiter may be gone


def check_litellm(targets: dict[str, Callable[..., Any]], known: dict[str, str]) -> None:
    """Refuse a LiteLLM whose accounting is not the one this plug-in was built for.

    Args:
        targets: The functions that are replaced or relied upon, by name.
        known: The digest of each one's source text.

    Raises:
        JournalError: Another version, or another source text.
    """
    version = importlib.metadata.version("litellm")
    changed = [name for name, function in targets.items() if source_digest(function) != known.get(name)]
    if version != LITELLM_VERSION or changed:
        raise JournalError(
            f"The usage journal fits LiteLLM {LITELLM_VERSION}; installed is {version}"
            + (f", where these differ: {', '.join(changed)}" if changed else "")
            + ". Install the pinned version, or check the journal against the new one first."
        )


def source_digest(function: Callable[..., Any]) -> str:
    """Return a short digest of a function's source text."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
