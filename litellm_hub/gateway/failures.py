"""What to say when an answer that has begun goes wrong: in words, with a status that says whose fault it is."""

import re

import httpx
from litellm.exceptions import APIError

from litellm_hub.gateway.runtime import BROKEN, CRASHED, SILENT

_BROKEN_LINE = re.compile(r"Got unexpected response from Ollama: \{'error': (?P<quote>['\"])(?P<error>.*?)(?P=quote)\}")
_SILENCE = re.compile(rf"{SILENT} [^.]*\.")


class RuntimeFailedError(APIError):
    """The runtime failed in the middle of an answer; the status is 502, or 504 where it was silent."""


def runtime_failure(error: Exception) -> RuntimeFailedError | None:
    """Return what to tell of an error in a stream; None when the error already says whose fault it is.

    Nothing that fails once the answer has begun is the caller's fault, so what has another status becomes 5xx.

    Args:
        error: What LiteLLM raised instead of the next chunk.
    """
    if isinstance(error, RuntimeFailedError):
        return None
    text = str(getattr(error, "message", "") or error)
    if CRASHED in text:
        return _failed(error, httpx.codes.BAD_GATEWAY, BROKEN)
    if silence := _SILENCE.search(text):
        return _failed(error, httpx.codes.GATEWAY_TIMEOUT, silence[0])
    if _status(error) >= httpx.codes.INTERNAL_SERVER_ERROR:
        return None
    line = _BROKEN_LINE.search(text)
    return _failed(error, httpx.codes.BAD_GATEWAY, f"{BROKEN} It says: {line['error'] if line else text}")


def _failed(error: Exception, status: int, words: str) -> RuntimeFailedError:
    model, provider = getattr(error, "model", None), getattr(error, "llm_provider", None)
    return RuntimeFailedError(int(status), words, llm_provider=str(provider or ""), model=str(model or ""))


def _status(error: Exception) -> int:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else 500
