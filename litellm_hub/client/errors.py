"""What can go wrong between a caller and the hub, as one small tree of exceptions.

Every message says what happened and what to do about it. `error_from_answer` is the only place that knows how LiteLLM
words its refusals (statuses and types of LiteLLM 1.106, texts of llama.cpp and Ollama behind it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class HubError(Exception):
    """Base of all errors of the client, and the error for an answer that fits none of the others.

    Attributes:
        reason: What happened, one sentence.
        remedy: What the reader can do about it, one sentence.
        detail: The hub's own words where it gave some, else an empty string.
        retry: True where the same request, sent again, may well succeed.
    """

    remedy_by_default = "If the hub's words do not suffice, its log says more."
    retry_by_default = False

    def __init__(self, reason: str, remedy: str = "", *, detail: str = "", retry: bool | None = None) -> None:
        self.reason = reason
        self.remedy = remedy or self.remedy_by_default
        self.detail = detail
        self.retry = self.retry_by_default if retry is None else retry
        super().__init__(f"{self.reason} {self.remedy}")


class NotConfigured(HubError):  # noqa: N818 - the names read as what happened
    """The hub's address or the key is not known."""


class HubUnreachable(HubError):  # noqa: N818
    """Nothing answers at the hub's address, or something that is not a ready hub."""

    remedy_by_default = "Start the lab with `make up`, or correct LITELLM_BASE_URL."
    retry_by_default = True


class WrongKey(HubError):  # noqa: N818
    """The hub refuses the key: unknown, expired or blocked."""

    remedy_by_default = "Use a key that this hub has issued (LITELLM_API_KEY), or ask its owner for a new one."


class OverBudget(HubError):  # noqa: N818
    """The key (or its user or team) has spent its budget."""

    remedy_by_default = "Ask the hub's owner to raise the budget, or wait until it is reset."


class RateLimited(HubError):  # noqa: N818
    """Too many requests or tokens in a short time.

    Attributes:
        retry_after: Seconds to wait as the hub gave them, or None.
    """

    remedy_by_default = "Wait a minute and send again."
    retry_by_default = True

    def __init__(self, reason: str, remedy: str = "", *, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(reason, remedy, detail=detail)
        self.retry_after = retry_after


class UnknownModel(HubError):  # noqa: N818
    """The hub has no model of this name, or the key may not use it."""

    remedy_by_default = "Choose a model that the hub offers this key; `HubClient().models()` lists them."


class PromptTooLong(HubError):  # noqa: N818
    """The conversation does not fit into the model's context.

    Attributes:
        tokens: Size of the prompt in tokens, None where the hub did not say.
        limit: Largest prompt that fits, in tokens, None where the hub did not say.
    """

    remedy_by_default = "Shorten the prompt, or clear the conversation and start anew."

    def __init__(
        self, reason: str, remedy: str = "", *, detail: str = "", tokens: int | None = None, limit: int | None = None
    ) -> None:
        super().__init__(reason, remedy, detail=detail)
        self.tokens = tokens
        self.limit = limit


class RuntimeUnavailable(HubError):  # noqa: N818
    """The hub is up, but the runtime behind the model is down, lacks the model or failed."""

    remedy_by_default = "Choose another model, or have the model's runtime started."
    retry_by_default = True


class ModelLoading(RuntimeUnavailable):
    """The runtime is still reading the model into memory."""

    remedy_by_default = "Wait a few seconds and send again."


class ToolsUnsupported(HubError):  # noqa: N818
    """The model, or its runtime, cannot call tools."""

    remedy_by_default = "Choose a model that can, or ask without tools."


class AnswerCut(HubError):  # noqa: N818
    """The answer broke off before its end.

    Attributes:
        partial: The text that had arrived.
    """

    remedy_by_default = "What arrived is kept; send again for a whole answer."
    retry_by_default = True

    def __init__(self, reason: str, remedy: str = "", *, detail: str = "", partial: str = "") -> None:
        super().__init__(reason, remedy, detail=detail)
        self.partial = partial


class BadAnswer(HubError):  # noqa: N818
    """What came back is not what the OpenAI-compatible API prescribes."""

    remedy_by_default = "Check that LITELLM_BASE_URL leads to the hub itself and ends in /v1."


_SIZES = (
    re.compile(r"Max Input Tokens=(?P<limit>\d+), Got=(?P<tokens>\d+)"),
    re.compile(r"(?P<tokens>\d+) tokens by the gateway's count.* context is (?P<limit>\d+) tokens"),
    re.compile(r"\((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<limit>\d+) tokens\)"),
)
_RATE = re.compile(
    r"Limit type: (?P<kind>\w+)\. Current limit: (?P<limit>\d+),.* resets at: \S+ (?P<reset>[\d:]+ UTC)", re.DOTALL
)
_TOO_LONG = re.compile(r"context.?window|context.?length|context size|prompt is too long", re.IGNORECASE)
_NO_RUNTIME = re.compile(
    r"connection error|cannot connect|connect call failed|connection refused|runtime does not answer", re.IGNORECASE
)
_CRASHED = re.compile(r"an error was encountered while running the model", re.IGNORECASE)
_PASSING = frozenset({408, 425, 500, 502, 503, 504})  # statuses of trouble that may pass by itself
_NO_TOOLS = re.compile(r"does not support tools|tools param requires --jinja", re.IGNORECASE)
_LOADING = re.compile(r"\bloading model\b|model is (?:still )?(?:being )?load", re.IGNORECASE)
_KEY = re.compile(r"\bsk-[\w-]{3,}")


def without_keys(text: str) -> str:
    """Return `text` with everything that looks like an API key blotted out."""
    return _KEY.sub("sk-***", text)


def error_from_answer(
    status: int | None, body: object, *, model: str = "", headers: Mapping[str, str] | None = None
) -> HubError:
    """Turn a refusal of the hub into the exception that names it.

    Args:
        status: HTTP status; None for an `error` event inside a stream.
        body: The decoded JSON body, either `{"error": {...}}` or the inner object; anything else is allowed.
        model: Name of the model that was asked for, for the message.
        headers: Headers of the answer; `retry-after` is read.

    Returns:
        The exception, not raised. A plain `HubError` when the refusal is none of the known ones.
    """
    error = _error_object(body)
    kind = str(error.get("type") or "")
    detail = without_keys(str(error.get("message") or "")).strip()
    code = status if status is not None else _number(error.get("code"))
    first = detail.partition("\n\nLiteLLM:")[0].strip()

    # Ollama puts the last line of its log behind these words, whatever it was about.
    if _CRASHED.search(detail):
        return RuntimeUnavailable(
            f"The runtime of the model “{model}” failed in the middle of its work.", detail=detail
        )
    if kind == "budget_exceeded" or "budget has been exceeded" in detail.lower():
        return OverBudget("The budget of this key is used up.", detail=detail)
    if kind.endswith("_model_access_denied"):
        return UnknownModel(f"This key may not use the model “{model}”.", detail=detail)
    if "invalid model name" in detail.lower():
        return UnknownModel(f"The hub has no model “{model}”.", detail=detail)
    if _TOO_LONG.search(f"{kind} {detail}"):
        return _prompt_too_long(detail, first)
    if error.get("code") == "tools_unsupported":
        return ToolsUnsupported(first, detail=detail)
    if _NO_TOOLS.search(detail):
        return ToolsUnsupported(f"The model “{model}” cannot call tools.", detail=detail)
    if code in {401, 403}:
        return _wrong_key(kind, code, detail)
    if code == 429 and kind != "all_deployments_in_cooldown":
        return _rate_limited(detail, _number((headers or {}).get("retry-after")))
    if kind in {"no_db_connection", "auth_provider_unavailable"}:
        return HubUnreachable("The hub answers, but cannot check keys: its database does not answer.", detail=detail)
    if _LOADING.search(detail):
        return ModelLoading(f"The model “{model}” is still being loaded.", detail=detail)
    if kind == "all_deployments_in_cooldown" or _NO_RUNTIME.search(detail):
        return RuntimeUnavailable(f"The runtime of the model “{model}” does not answer.", detail=detail)
    if code == 404 and detail.startswith("litellm."):
        return RuntimeUnavailable(
            f"The runtime does not have the model “{model}”.",
            "Choose another model, or have this one pulled into the runtime.",
            detail=detail,
            retry=False,
        )
    if detail.startswith("litellm.") and code is not None and (code >= 500 or code == 408):
        return RuntimeUnavailable(f"The runtime of the model “{model}” failed: {first}", detail=detail)
    if not isinstance(body, Mapping) and status is not None:
        reason = f"Something answers at the hub's address, but not as the hub (HTTP {code})."
        return HubUnreachable(reason, detail=detail, retry=code in _PASSING)
    what = f"HTTP {code}" if code is not None else "in the stream"
    return HubError(
        f"The hub refused the request ({what}): {first or 'no reason given'}", detail=detail, retry=code in _PASSING
    )


def _error_object(body: object) -> Mapping[str, Any]:
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    return inner if isinstance(inner, Mapping) else {"message": str(inner or "")[:500]}


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _wrong_key(kind: str, code: int, detail: str) -> WrongKey:
    if kind == "expired_key":
        return WrongKey("This key has expired.", detail=detail)
    if "blocked" in detail.lower():
        return WrongKey("This key is blocked.", detail=detail)
    if code == 403:
        return WrongKey("The hub does not allow this key to do that.", detail=detail)
    return WrongKey("The hub does not know this key.", detail=detail)


def _rate_limited(detail: str, wait: int | None) -> RateLimited:
    found = _RATE.search(detail)
    if not found:
        return RateLimited("The hub's limit of requests per time is reached.", detail=detail, retry_after=wait)
    limit = f"{int(found['limit']):,}"
    if found["kind"] == "max_parallel_requests":
        reason, remedy = f"The key's limit of {limit} requests at the same time is reached.", "Wait for another answer."
        return RateLimited(reason, remedy, detail=detail, retry_after=wait)
    reason = f"The key's limit of {limit} {found['kind']} a minute is reached."
    return RateLimited(reason, f"Send again after {found['reset']}.", detail=detail, retry_after=wait)


def _prompt_too_long(detail: str, first: str) -> PromptTooLong:
    for pattern in _SIZES:
        if match := pattern.search(detail):
            tokens, limit = int(match["tokens"]), int(match["limit"])
            reason = f"The conversation has {tokens:,} tokens, the model takes {limit:,}."
            return PromptTooLong(reason, detail=detail, tokens=tokens, limit=limit)
    return PromptTooLong(f"The conversation is too long for the model: {first}", detail=detail)
