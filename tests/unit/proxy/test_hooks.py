from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litellm_hub.proxy.guards import ContextLengthError, CutAnswerError
from litellm_hub.proxy.hooks import LabHandler
from litellm_hub.proxy.journal import Journal
from litellm_hub.proxy.recorder import TICKET, Recorder, UsageNotRecordedError, Verdict

pytestmark = pytest.mark.anyio

WORD = {"choices": [{"finish_reason": None, "delta": {"content": "a"}}]}
END = {"choices": [{"finish_reason": "stop", "delta": {}}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3}}


class RefusedError(Exception):
    pass


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[LabHandler]:
    journal = Journal(tmp_path / "journal")
    recorder = Recorder(
        journal,
        None,  # type: ignore[arg-type]
        is_batch_row=lambda payload: False,
        spend_is_disabled=lambda: False,
    )
    models = {"small": [{"model_info": {"max_input_tokens": 100}}]}
    yield LabHandler(
        recorder,
        deployments=lambda model: models.get(model, []),
        catalogue=list,
        refuse=lambda error: RefusedError(str(error)),
        fire_deferred=lambda data: data["fired"](),
        transport=None,  # type: ignore[arg-type]
    )
    journal.close()


def request(**body: Any) -> dict[str, Any]:
    call = SimpleNamespace(model_call_details={"custom_llm_provider": "openai"}, enqueue_deferred_logging=None)
    return {"model": "small", "litellm_logging_obj": call, "fired": lambda: None, **body}


def decide(data: dict[str, Any], verdict: Verdict = Verdict.RECORDED) -> None:
    getattr(data["litellm_logging_obj"], TICKET).decide(verdict, "why")


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


async def test_the_end_of_a_stream_waits_until_its_usage_is_recorded(handler: LabHandler) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, "acompletion")
    got: list[Any] = []
    stream = handler.async_post_call_streaming_iterator_hook(None, chunks(WORD, WORD, END, USAGE), data)
    reader = asyncio.create_task(collect(stream, got))
    await until(lambda: len(got) == 2)
    await asyncio.sleep(0.02)
    assert got == [WORD, WORD]
    decide(data)
    await reader
    assert got == [WORD, WORD, END, USAGE]


async def test_a_stream_whose_usage_is_not_recorded_ends_in_an_error_without_its_end(handler: LabHandler) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, "acompletion")
    decide(data, Verdict.FAILED)
    got: list[Any] = []
    with pytest.raises(UsageNotRecordedError):
        await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(WORD, END), data), got)
    assert got == [WORD]


async def test_a_stream_without_an_end_is_an_error(handler: LabHandler) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, "aresponses")
    decide(data)
    with pytest.raises(CutAnswerError):
        await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(WORD), data), [])


async def test_a_stream_that_litellm_logs_late_is_logged_first(handler: LabHandler) -> None:
    data = request()
    data["fired"] = lambda: decide(data)
    await handler.async_pre_call_hook(None, None, data, "acompletion")
    got: list[Any] = []
    await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(END), data), got)
    assert got == [END]


async def test_a_plain_answer_waits_and_a_failed_record_withholds_it(handler: LabHandler) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, "acompletion")
    waiting = asyncio.create_task(handler.async_post_call_success_hook(data, None, {}))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    decide(data, Verdict.FAILED)
    with pytest.raises(UsageNotRecordedError):
        await waiting


async def test_a_plain_answer_that_litellm_logs_late_is_logged_first(handler: LabHandler) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, "acompletion")
    data["litellm_logging_obj"].enqueue_deferred_logging = lambda: decide(data)
    await handler.async_post_call_success_hook(data, None, {})
    assert data["litellm_logging_obj"].enqueue_deferred_logging is None


async def test_a_plain_answer_that_the_runtime_did_not_finish_is_an_error(handler: LabHandler) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, "acompletion")
    decide(data)
    data["litellm_logging_obj"].model_call_details["original_response"] = {"choices": [{"finish_reason": None}]}
    with pytest.raises(CutAnswerError):
        await handler.async_post_call_success_hook(data, None, {})


@pytest.mark.parametrize("call_type", ["acreate_file", "alist_batches", "acreate_batch"])
async def test_calls_that_litellm_keeps_no_row_of_do_not_wait(handler: LabHandler, call_type: str) -> None:
    data = request()
    await handler.async_pre_call_hook(None, None, data, call_type)
    await handler.async_post_call_success_hook(data, None, {})
    got: list[Any] = []
    await collect(handler.async_post_call_streaming_iterator_hook(None, chunks(WORD), data), got)
    assert got == [WORD]


async def test_a_long_prompt_is_refused_in_the_proxys_own_terms(handler: LabHandler) -> None:
    data = request(messages=[{"role": "user", "content": "word " * 200}])
    with pytest.raises(RefusedError, match="100 tokens per request") as caught:
        await handler.async_pre_call_hook(None, None, data, "acompletion")
    assert isinstance(caught.value.__cause__, ContextLengthError)


async def test_a_model_without_a_stated_context_is_not_guarded(handler: LabHandler) -> None:
    data = request(model="other", messages=[{"role": "user", "content": "word " * 200}])
    await handler.async_pre_call_hook(None, None, data, "acompletion")
