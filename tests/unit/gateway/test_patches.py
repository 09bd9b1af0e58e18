"""The two places where LiteLLM is changed from inside: what is changed, and that it is still needed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import litellm
import pytest

from litellm_hub.gateway import patch_schema_check, patch_stream_end
from litellm_hub.gateway.guards import PROVIDERS, CutAnswerError
from tests.unit.client.scripted_hub import Reply, chunk, scripted_hub


class Stream:
    """As much of LiteLLM's stream wrapper as the guard touches."""

    def __init__(self, provider: str, finish_reason: str | None) -> None:
        self.custom_llm_provider = provider
        self.received_finish_reason = finish_reason
        self.intermittent_finish_reason = None
        self.sent_last_chunk = False
        self.model = "m"

    async def _finalize_completed_stream(self, cache_hit: bool) -> str:
        return "stop"

    def _log_stream_failure_and_raise(self, error: Exception) -> None:
        raise error


@pytest.mark.anyio
async def test_an_invented_end_becomes_an_error_for_the_runtimes_we_serve() -> None:
    class Guarded(Stream):
        pass

    assert patch_stream_end.install(Guarded)
    for provider in PROVIDERS:
        with pytest.raises(CutAnswerError, match="broke off in the middle"):
            await Guarded(provider, None)._finalize_completed_stream(cache_hit=False)
        assert await Guarded(provider, "length")._finalize_completed_stream(cache_hit=False) == "stop"
    assert await Guarded("gemini", None)._finalize_completed_stream(cache_hit=False) == "stop"


@pytest.mark.anyio
async def test_litellm_alone_still_invents_the_end_of_a_stream_that_just_ends() -> None:
    """When this fails, `patch_stream_end` is needless: remove it."""
    with scripted_hub() as runtime:
        runtime.reply = lambda body: Reply([chunk("Half an ans")])
        stream = await litellm.acompletion(
            "openai/m", [{"role": "user", "content": "hi"}], api_base=runtime.url, api_key="none", stream=True
        )
        chunks = [part async for part in stream]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_litellm_alone_still_puts_the_database_address_on_a_command_line() -> None:
    """When this fails, `patch_schema_check` is needless: remove it."""
    package = importlib.util.find_spec("litellm")
    assert package is not None
    assert package.origin is not None
    source = (Path(package.origin).parent / "proxy/db/check_migration.py").read_text()
    assert '"--from-url"' in source
    assert "def check_prisma_schema_diff(" in source


def test_each_patch_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(check_prisma_schema_diff="LiteLLM's own")
    monkeypatch.setenv("LAB_UNPATCHED", "schema_check,stream_end")
    assert not patch_schema_check.install(module)
    assert not patch_stream_end.install(Stream)
    assert module.check_prisma_schema_diff == "LiteLLM's own"
    monkeypatch.delenv("LAB_UNPATCHED")
    assert patch_schema_check.install(module)
    assert module.check_prisma_schema_diff != "LiteLLM's own"


def test_a_litellm_without_the_patched_place_is_used_as_it_is() -> None:
    assert not patch_stream_end.install(type("Wrapper", (), {}))
