from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litellm_hub.gateway import accounts
from litellm_hub.gateway.accounts import Accounts, UsageNotRecordedError
from litellm_hub.gateway.admission import Admission, ClientLeftError, WaitedTooLongError, visit
from litellm_hub.gateway.guards import ContextLengthError, CutAnswerError
from litellm_hub.gateway.hooks import LabHandler
from litellm_hub.gateway.journal import Journal, JournalError

pytestmark = pytest.mark.anyio

WORD = {"choices": [{"finish_reason": None, "delta": {"content": "a"}}]}
END = {"choices": [{"finish_reason": "stop", "delta": {}}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = [{"budget_duration": "1d"}]


class RefusedError(Exception):
    pass


class Proxy:
    """LiteLLM's proxy, as far as the callback meets it."""

    def __init__(self) -> None:
        self.general_settings = {"disable_spend_updates": True}
        self.charged: list[dict[str, Any]] = []
        self.drained = 0
        self.known = {"key": {"budget_limits": LIMITS}}
        self.stalled = asyncio.Event()
        self.stalled.set()
        models = {"small": [{"model_info": {"max_input_tokens": 100}}]}
        self.llm_router = SimpleNamespace(get_model_list=lambda model_name: models.get(model_name))
        self.user_api_key_cache = SimpleNamespace(async_get_cache=self._cached)
        queue = SimpleNamespace(flush_and_get_aggregated_window_spend_transactions=self._drain)
        self.proxy_logging_obj = SimpleNamespace(
            db_spend_update_writer=SimpleNamespace(window_spend_update_queue=queue)
        )
        self.ProxyLogging = SimpleNamespace(fire_deferred_stream_logging=lambda data: data["fired"]())

    async def increment_spend_counters(self, token: str, response_cost: float, budget_reservation: object) -> None:
        await self.stalled.wait()
        self.charged.append({"token": token, "cost": response_cost, "reservation": budget_reservation})

    async def _cached(self, key: str) -> Any:
        return self.known.get(key)

    async def _drain(self) -> None:
        self.drained += 1


class Rows:
    """The module `rows` without LiteLLM: a call's details are its row."""

    def entry(self, details: dict[str, Any]) -> dict[str, Any]:
        row = {"api_key": "key", "team_id": "", "user": "", "spend": 0.25, "request_tags": [], "prompt_tokens": 7}
        return {"id": "1", "row": {**row, **details.get("row", {})}, "project": None, "windows": []}

    def succeeded(self, details: dict[str, Any], answer: Any, *_: Any) -> tuple[dict[str, Any], bool]:
        if "broken" in details:
            raise ValueError("LiteLLM says nothing of it")
        entry = self.entry(details)
        entry["row"] |= (answer or {}).get("usage", {})
        return entry, False

    def failed(self, request: dict[str, Any], *_: Any) -> dict[str, Any]:
        return self.entry(request)

    def windows(self, kind: str, of: str, limits: Any) -> list[Any]:
        return [[kind, of, limit["budget_duration"]] for limit in limits or ()]


@pytest.fixture
async def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal")
    yield opened
    opened.close()


@pytest.fixture
def handler(journal: Journal, proxy: Proxy) -> LabHandler:
    transport = SimpleNamespace(give_client=lambda call: None)
    refuse = lambda error: RefusedError(str(error))  # noqa: E731 - a class of the proxy's
    return LabHandler(Accounts(journal, proxy, Rows()), proxy, refuse, transport, Admission(lambda: 60.0))  # type: ignore[arg-type]


def request(**body: Any) -> dict[str, Any]:
    details = {"custom_llm_provider": "openai", "call_type": "acompletion"}
    call = SimpleNamespace(
        model_call_details=details, enqueue_deferred_logging=None, start_time=NOW, litellm_call_id="call"
    )
    return {"model": "small", "litellm_logging_obj": call, "fired": lambda: None, **body}


async def begun(handler: LabHandler, call_type: str = "acompletion", **body: Any) -> dict[str, Any]:
    data = request(**body)
    await handler.async_pre_call_hook(SimpleNamespace(api_key="key", team_metadata=None), None, data, call_type)
    return data


async def logged(handler: LabHandler, data: dict[str, Any], **details: Any) -> None:
    details = {**data["litellm_logging_obj"].model_call_details, **details}
    await handler.async_log_success_event(details, None, NOW, NOW)


async def chunks(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def collect(stream: AsyncIterator[Any], into: list[Any]) -> None:
    async for chunk in stream:
        into.append(chunk)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def rows(journal: Journal) -> list[dict[str, Any]]:
    return [entry["row"] for entry in journal.read(journal.waiting())]


async def test_the_end_of_a_stream_waits_until_its_usage_is_recorded(handler: LabHandler) -> None:
    data = await begun(handler)
    got: list[Any] = []
    stream = handler.async_post_call_streaming_iterator_hook(None, chunks(WORD, WORD, END, USAGE), data)
    reader = asyncio.create_task(collect(stream, got))
    await until(lambda: len(got) == 2)
    await asyncio.sleep(0.02)
    assert got == [WORD, WORD]
    await logged(handler, data)
    await reader
    assert got == [WORD, WORD, END, USAGE]


async def test_a_stream_without_an_end_is_an_error(handler: LabHandler) -> None:
    data = await begun(handler, "aresponses")
    await logged(handler, data)
    with pytest.raises(CutAnswerError):
        await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(WORD), data), [])


async def test_a_stream_that_litellm_logs_late_is_logged_first(handler: LabHandler) -> None:
    data = await begun(handler)
    tasks = []
    data["fired"] = lambda: tasks.append(asyncio.ensure_future(logged(handler, data)))
    got: list[Any] = []
    await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(END), data), got)
    assert got == [END]


async def test_a_plain_answer_waits_for_the_disk(handler: LabHandler, journal: Journal) -> None:
    data = await begun(handler)
    waiting = asyncio.create_task(handler.async_post_call_success_hook(data, None, {}))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await logged(handler, data)
    await waiting
    assert len(rows(journal)) == 1


async def test_a_plain_answer_that_litellm_logs_late_is_logged_first(handler: LabHandler) -> None:
    data = await begun(handler)
    tasks = []
    call = data["litellm_logging_obj"]
    call.enqueue_deferred_logging = lambda: tasks.append(asyncio.ensure_future(logged(handler, data)))
    await handler.async_post_call_success_hook(data, None, {})
    assert call.enqueue_deferred_logging is None


async def test_a_plain_answer_that_the_runtime_did_not_finish_is_an_error_with_one_row(
    handler: LabHandler, journal: Journal
) -> None:
    data = await begun(handler)
    data["litellm_logging_obj"].model_call_details["original_response"] = {"choices": [{"finish_reason": None}]}
    await logged(handler, data)
    with pytest.raises(CutAnswerError) as caught:
        await handler.async_post_call_success_hook(data, None, {})
    await handler.async_post_call_failure_hook(data, caught.value, caller())
    assert [row["status"] for row in rows(journal)] == ["failure"]


async def test_an_entry_that_cannot_be_written_withholds_the_answer(
    handler: LabHandler, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lines: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_write", full)
    data = await begun(handler)
    await logged(handler, data)
    got: list[Any] = []
    with pytest.raises(UsageNotRecordedError, match="disk is full") as caught:
        await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(WORD, END), data), got)
    assert got == [WORD]
    assert caught.value.status_code == 503


async def test_no_entry_in_time_withholds_the_answer(handler: LabHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "RECORD_SECONDS", 0.01)
    with pytest.raises(UsageNotRecordedError, match=r"no entry within 0\.01 s"):
        await handler.async_post_call_success_hook(await begun(handler), None, {})


async def test_a_call_that_cannot_be_described_withholds_the_answer(handler: LabHandler) -> None:
    data = await begun(handler)
    await logged(handler, data, broken=True)
    with pytest.raises(UsageNotRecordedError, match="LiteLLM says nothing of it"):
        await handler.async_post_call_success_hook(data, None, {})


async def test_a_call_is_charged_with_its_reservation_and_its_windows(
    handler: LabHandler, journal: Journal, proxy: Proxy
) -> None:
    reservation = {"reserved_cost": 1.0}
    data = await begun(handler)
    details = {"litellm_params": {"metadata": {"user_api_key_budget_reservation": reservation}}}
    await logged(handler, data, **details)
    assert proxy.charged == [{"token": "key", "cost": 0.25, "reservation": reservation}]
    assert proxy.drained == 1  # LiteLLM's own writer has nothing to write
    assert journal.read(journal.waiting())[0]["windows"] == [["key", "key", "1d"]]


async def test_a_stalled_database_does_not_hold_the_answer(
    handler: LabHandler, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "COUNTER_SECONDS", 0.01)
    proxy.stalled.clear()
    data = await begun(handler)
    await logged(handler, data)
    await handler.async_post_call_success_hook(data, None, {})
    assert proxy.charged == []
    proxy.stalled.set()
    await until(lambda: proxy.charged)


async def test_concurrent_calls_do_not_mix(handler: LabHandler, journal: Journal) -> None:
    calls = [await begun(handler) for _ in range(50)]
    await asyncio.gather(
        *(logged(handler, data, row={"request_id": str(number)}) for number, data in enumerate(calls)),
        *(handler.async_post_call_success_hook(data, None, {}) for data in calls),
    )
    assert sorted(int(row["request_id"]) for row in rows(journal)) == list(range(50))


async def test_what_nobody_priced_and_no_model_answered_is_no_entry(handler: LabHandler, journal: Journal) -> None:
    await handler.async_log_success_event({"call_type": "alist_batches"}, None, NOW, NOW)
    assert rows(journal) == []


async def test_watches_go_with_their_calls(handler: LabHandler) -> None:
    data = await begun(handler)
    await logged(handler, data)
    del data
    gc.collect()
    assert len(handler._accounts._watches) == 0


def caller(**known: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"request_route": "/v1/messages", "api_key": "key", "user_role": None, **known})


async def test_a_failure_of_a_known_key_on_a_models_path_is_an_entry(handler: LabHandler, journal: Journal) -> None:
    for known in (caller(), caller(api_key="master", user_role="proxy_admin")):
        await handler.async_post_call_failure_hook({"row": {"status": "failure"}}, ValueError(), known)
    for unknown in (caller(api_key="wrong"), caller(request_route="/v1/models"), caller(api_key=None)):
        await handler.async_post_call_failure_hook({}, ValueError(), unknown)
    assert [row["status"] for row in rows(journal)] == ["failure", "failure"]


async def test_a_request_that_waited_too_long_is_an_entry_and_one_that_left_is_none(
    handler: LabHandler, journal: Journal
) -> None:
    await handler.async_post_call_failure_hook({"row": {"status": "failure"}}, WaitedTooLongError("m", 9), caller())
    await handler.async_post_call_failure_hook({}, ClientLeftError(), caller())
    assert [row["status"] for row in rows(journal)] == ["failure"]


async def test_a_call_waits_for_a_slot_of_a_host_that_did_not_fail_it(handler: LabHandler, proxy: Proxy) -> None:
    hosts = [{"model_name": "small", "model_info": {"id": name, "parallel_requests": 1}} for name in ("a", "b")]
    proxy.llm_router.get_model_list = lambda model_name: hosts
    identity = SimpleNamespace(api_key="key", team_metadata=None)

    async def by_id() -> None:
        with visit("", forever):
            await handler.async_pre_call_deployment_hook({"model_info": hosts[0]["model_info"]}, None)

    with visit("", forever):
        await handler.async_pre_call_hook(identity, None, request(), "acompletion")
        failed = {"_excluded_deployment_ids": ["b"]}
        assert await handler.async_filter_deployments("small", hosts, None, failed) == [hosts[0]]
        await handler.async_pre_call_deployment_hook({"model_info": hosts[0]["model_info"]}, None)
        second = asyncio.create_task(by_id())
        await asyncio.sleep(0.01)
        assert not second.done()
    await second


async def test_what_a_call_has_used_is_known_to_the_queue(handler: LabHandler) -> None:
    told: list[int] = []
    with visit("", forever) as found:
        found.settle = told.append  # type: ignore[method-assign]
        data = await begun(handler)
    await logged(handler, data, row={"total_tokens": 19})
    assert told == [19]


async def forever() -> None:
    await asyncio.Event().wait()


async def test_litellms_own_writer_must_be_off(handler: LabHandler, proxy: Proxy) -> None:
    proxy.general_settings = {}
    with pytest.raises(JournalError, match="disable_spend_updates must be true"):
        await begun(handler)


@pytest.mark.parametrize("call_type", ["acreate_file", "alist_batches", "acreate_batch"])
async def test_calls_of_no_model_do_not_wait(handler: LabHandler, call_type: str) -> None:
    data = await begun(handler, call_type)
    await handler.async_post_call_success_hook(data, None, {})
    got: list[Any] = []
    await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(WORD), data), got)
    assert got == [WORD]
    assert handler._accounts.watch(data) is None


async def test_a_long_prompt_is_refused_in_the_proxys_own_terms(handler: LabHandler) -> None:
    with pytest.raises(RefusedError, match="100 tokens per request") as caught:
        await begun(handler, messages=[{"role": "user", "content": "word " * 200}])
    assert isinstance(caught.value.__cause__, ContextLengthError)


async def test_a_model_without_a_stated_context_is_not_guarded(handler: LabHandler) -> None:
    await begun(handler, model="other", messages=[{"role": "user", "content": "word " * 200}])


async def test_a_stream_whose_caller_leaves_is_recorded_as_far_as_it_came(
    handler: LabHandler, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "LEFT_SECONDS", 0.01)
    data = await begun(handler, messages=[{"role": "user", "content": "hi"}])
    stream = handler.async_post_call_streaming_iterator_hook(None, chunks(WORD, WORD, WORD, END), data)
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    await until(lambda: rows(journal))
    [row] = rows(journal)
    assert row["completion_tokens"] == 2
    assert row["prompt_tokens"] > 0
    await logged(handler, data)  # LiteLLM's own report comes too late
    assert len(rows(journal)) == 1


async def test_a_stream_whose_caller_leaves_has_one_row_where_litellm_reports_it(
    handler: LabHandler, journal: Journal
) -> None:
    data = await begun(handler)
    stream = handler.async_post_call_streaming_iterator_hook(None, chunks(WORD, WORD, END), data)
    await anext(stream)
    await stream.aclose()
    await logged(handler, data)
    await asyncio.gather(*handler._accounts._tasks)
    assert len(rows(journal)) == 1
