from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litellm_hub.proxy.journal import Journal, JournalError
from litellm_hub.proxy.recorder import TICKET, Recorder, UsageNotRecordedError, check_litellm, source_digest

pytestmark = pytest.mark.anyio

COST = 0.25


class Writer:
    """LiteLLM's spend writer, as far as the recorder meets it: in-memory queues that a kill would lose."""

    def __init__(self) -> None:
        self.in_memory: list[str] = []
        self.breaks = False
        self.flushed = 0

    async def update_database(self, token: str | None, kwargs: dict[str, Any], response_cost: float | None) -> bool:
        if self.breaks:
            return True  # LiteLLM logs and swallows
        payload = {"request_id": "r", "spend": response_cost, "prompt_tokens": 7, **kwargs.get("row", {})}
        if not await self._record_spend_log(
            payload=payload, prisma_client=None, disable_spend_logs=False, llm_router=None
        ):
            return False
        self._task = asyncio.create_task(
            self._batch_database_updates(response_cost=response_cost, prisma_client=None, payload=payload)
        )
        return True

    async def _record_spend_log(self, **_: Any) -> bool:
        self.in_memory.append("row")
        return True

    async def _batch_database_updates(self, **_: Any) -> None:
        self.in_memory.append("spend")

    async def db_update_spend_transaction_handler(self, *_: Any) -> None:
        self.flushed += 1


class Accountant:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.applied: list[Any] = []
        self.down = False

    async def flush(self, client: Any, proxy_logging: Any) -> int:
        if self.down:
            raise ConnectionError("no database")
        places = self.journal.waiting(100)
        self.applied += self.journal.read(places)
        self.journal.settle(len(places))
        return len(places)


class Proxy:
    """A proxy with the recorder installed."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self.accountant = Accountant(self.journal)
        self.disabled = False
        self.recorder = Recorder(
            self.journal,
            self.accountant,  # type: ignore[arg-type]
            is_batch_row=lambda payload: payload.get("call_type") == "aretrieve_batch",
            spend_is_disabled=lambda: self.disabled,
        )
        writer = self.writer = Writer()

        class CostLogger:
            async def _PROXY_track_cost_callback(self, kwargs: dict[str, Any], *_: Any) -> None:  # noqa: N802
                if kwargs["response_cost"] is not None:
                    await writer.update_database(token="t", kwargs=kwargs, response_cost=kwargs["response_cost"])

        class StartUp:
            @staticmethod
            async def initialize_scheduled_background_jobs(**_: Any) -> str:
                return "started"

        self.recorder.install(writer, CostLogger, StartUp)
        self.cost_logger, self.start_up = CostLogger(), StartUp

    def call(self, **details: Any) -> SimpleNamespace:
        call = SimpleNamespace(model_call_details={"response_cost": COST, **details})
        self.recorder.expect(call)
        return call

    async def log(self, call: SimpleNamespace) -> None:
        await self.cost_logger._PROXY_track_cost_callback(call.model_call_details, None, None, None)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path / "journal")
    yield made
    made.journal.close()


async def test_the_row_and_the_spend_become_one_entry_and_nothing_stays_in_memory(proxy: Proxy) -> None:
    call = proxy.call()
    await proxy.log(call)
    await getattr(call, TICKET).recorded(1)
    (entry,) = proxy.journal.read(proxy.journal.waiting(10))
    assert entry["row"] is True
    assert entry["payload"]["spend"] == COST
    assert entry["spend"] == {"response_cost": COST}
    assert proxy.writer.in_memory == []
    assert getattr(call, TICKET).prompt_tokens == 7


async def test_an_answer_waits_for_the_disk(proxy: Proxy) -> None:
    call = proxy.call()
    waiting = asyncio.create_task(getattr(call, TICKET).recorded(5))
    await asyncio.sleep(0)
    assert not waiting.done()
    await proxy.log(call)
    await waiting
    assert len(proxy.journal.waiting(10)) == 1


async def test_an_entry_that_cannot_be_written_withholds_the_answer(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lines: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proxy.journal, "_write", full)
    call = proxy.call()
    with pytest.raises(JournalError, match="disk is full"):
        await proxy.log(call)
    with pytest.raises(UsageNotRecordedError, match="disk is full") as caught:
        await getattr(call, TICKET).recorded(1)
    assert caught.value.status_code == 503


async def test_no_entry_in_time_withholds_the_answer(proxy: Proxy) -> None:
    with pytest.raises(UsageNotRecordedError, match=r"no entry within 0\.01 s"):
        await getattr(proxy.call(), TICKET).recorded(0.01)


async def test_accounting_that_fails_inside_litellm_withholds_the_answer(proxy: Proxy) -> None:
    proxy.writer.breaks = True
    call = proxy.call()
    await proxy.log(call)
    with pytest.raises(UsageNotRecordedError, match="could not build the usage row"):
        await getattr(call, TICKET).recorded(1)


async def test_a_call_without_a_price_does_not_wait(proxy: Proxy) -> None:
    call = proxy.call(response_cost=None)
    await proxy.log(call)
    await getattr(call, TICKET).recorded(1)
    assert proxy.journal.waiting(10) == []


async def test_parts_of_a_stream_do_not_decide(proxy: Proxy) -> None:
    call = proxy.call(response_cost=None, stream=True)
    await proxy.log(call)
    with pytest.raises(UsageNotRecordedError):
        await getattr(call, TICKET).recorded(0.01)


async def test_failures_that_nobody_waits_for_are_journaled_before_they_are_told(proxy: Proxy) -> None:
    await proxy.writer.update_database(token="t", kwargs={"row": {"status": "failure"}}, response_cost=0.0)
    (entry,) = proxy.journal.read(proxy.journal.waiting(10))
    assert entry["payload"]["status"] == "failure"


async def test_a_batch_row_is_claimed_by_litellm_and_only_its_spend_is_journaled(proxy: Proxy) -> None:
    await proxy.log(proxy.call(row={"call_type": "aretrieve_batch"}))
    assert proxy.writer.in_memory == ["row"]
    (entry,) = proxy.journal.read(proxy.journal.waiting(10))
    assert entry["row"] is False


async def test_concurrent_calls_do_not_mix(proxy: Proxy) -> None:
    calls = [proxy.call(row={"request_id": str(number)}) for number in range(50)]
    await asyncio.gather(*(proxy.log(call) for call in calls), *(getattr(call, TICKET).recorded(5) for call in calls))
    entries = proxy.journal.read(proxy.journal.waiting(100))
    assert sorted(int(entry["payload"]["request_id"]) for entry in entries) == list(range(50))
    assert len({entry["id"] for entry in entries}) == 50


async def test_outcomes_go_with_their_calls(proxy: Proxy) -> None:
    await proxy.log(proxy.call())
    gc.collect()
    assert len(proxy.recorder._outcomes) == 0


async def test_litellms_flush_applies_the_journal_and_then_its_own_queues(proxy: Proxy) -> None:
    await proxy.log(proxy.call())
    await proxy.writer.db_update_spend_transaction_handler(None, 3, None)
    assert len(proxy.accountant.applied) == 1
    assert proxy.writer.flushed == 1


async def test_entries_wait_for_a_database_that_is_down(proxy: Proxy) -> None:
    await proxy.log(proxy.call())
    proxy.accountant.down = True
    await proxy.writer.db_update_spend_transaction_handler(None, 3, None)
    assert len(proxy.journal.waiting(10)) == 1
    proxy.accountant.down = False
    await proxy.writer.db_update_spend_transaction_handler(None, 3, None)
    assert proxy.journal.waiting(10) == []


async def test_what_an_earlier_run_left_is_applied_before_the_proxy_starts(proxy: Proxy) -> None:
    await proxy.log(proxy.call())
    started = await proxy.start_up.initialize_scheduled_background_jobs(prisma_client=None, proxy_logging_obj=None)
    assert started == "started"
    assert len(proxy.accountant.applied) == 1


async def test_another_litellm_is_refused_by_name() -> None:
    check_litellm({"f": source_digest}, {"f": source_digest(source_digest)})
    with pytest.raises(JournalError, match="these differ: f"):
        check_litellm({"f": source_digest}, {"f": "other"})
