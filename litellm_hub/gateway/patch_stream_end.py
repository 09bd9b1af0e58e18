"""Patch of LiteLLM 1: a stream that just ends is an error, and not an answer with an invented `finish_reason`.

No hook can see it: the invented reason looks like the runtime's own. `LAB_UNPATCHED=stream_end` leaves it out.
"""

import logging
import os
from typing import Any

from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

from litellm_hub.gateway.guards import PROVIDERS, cut_answer

log = logging.getLogger("litellm_hub.guards")

_PATCHED = "_finalize_completed_stream"


def install(wrapper: type = CustomStreamWrapper) -> bool:
    """Guard the end of LiteLLM's streams; return whether that was done.

    Args:
        wrapper: LiteLLM's wrapper of a stream (litellm_core_utils/streaming_handler.py).
    """
    finalize = getattr(wrapper, _PATCHED, None)
    if finalize is None:
        log.warning("This LiteLLM has no %s: a stream that just ends may look like a whole answer", _PATCHED)
    if finalize is None or "stream_end" in os.environ.get("LAB_UNPATCHED", "").split(","):
        return False

    async def guarded(stream: Any, cache_hit: bool) -> Any:
        announced = stream.received_finish_reason or stream.intermittent_finish_reason
        if not announced and not stream.sent_last_chunk and stream.custom_llm_provider in PROVIDERS:
            stream._log_stream_failure_and_raise(cut_answer(stream.model, stream.custom_llm_provider))
        return await finalize(stream, cache_hit=cache_hit)

    setattr(wrapper, _PATCHED, guarded)
    return True
