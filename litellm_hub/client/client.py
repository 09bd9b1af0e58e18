"""The client itself: one hub, one key."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlencode

import httpx

from litellm_hub.client.errors import (
    BadAnswer,
    HubError,
    HubUnreachable,
    NotConfigured,
    OverBudget,
    WrongKey,
    error_from_answer,
)
from litellm_hub.client.model_info import Delay, ModelInfo, amount, delay, model_info
from litellm_hub.client.stream import CALL_ID, ChatStream, body_of
from litellm_hub.client.tokens import estimate_tokens

CONNECT_TIMEOUT = 5.0
STATUS_TIMEOUT = 3.0

_SENT = ("role", "content", "tool_calls", "tool_call_id")


class Message(TypedDict):
    """One message of a conversation.

    `role` is "system", "user", "assistant" or "tool". An assistant's message may carry the calls that it asked for
    (`tool_calls`, each as `ToolCall.as_dict` gives it); a "tool" message carries the result of the call that
    `tool_call_id` names.
    """

    role: str
    content: str
    tool_calls: NotRequired[Sequence[Mapping[str, Any]]]
    tool_call_id: NotRequired[str]


class HubState(StrEnum):
    """How the hub is, seen with the caller's address and key."""

    OK = "ok"
    NOT_CONFIGURED = "not_configured"
    UNREACHABLE = "unreachable"
    WRONG_KEY = "wrong_key"
    OVER_BUDGET = "over_budget"
    NO_MODELS = "no_models"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class HubStatus:
    """Answer of `HubClient.status`.

    Attributes:
        state: The state in one word.
        reason: The state in one readable sentence.
        remedy: What to do about it; empty when all is well.
        models: Names of the models that the key may use.
        spend: What the key has spent, in the hub's currency (US dollars by default); None if not known.
        max_budget: What the key may spend; None if it has no budget or it is not known.
        budget_reset_at: When the spend counts from zero again (with its time zone); None if never, or not known.
    """

    state: HubState
    reason: str
    remedy: str = ""
    models: tuple[str, ...] = ()
    spend: float | None = None
    max_budget: float | None = None
    budget_reset_at: datetime | None = None


class HubClient:
    """Client of one hub with one key. Safe to share between threads.

    Args:
        base_url: Address of the hub's OpenAI-compatible API, ends in `/v1`. Default: `LITELLM_BASE_URL`.
        api_key: A key that the hub has issued. Default: `LITELLM_API_KEY`.
        timeout: Longest silence of the hub, in seconds, before an answer is given up. Generous by default, because a
            runtime that has to load a model first says nothing meanwhile.
        transport: Replaces the network; for tests.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 300.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = os.environ.get("LITELLM_BASE_URL", "") if base_url is None else base_url
        key = os.environ.get("LITELLM_API_KEY", "") if api_key is None else api_key
        self._root = url.strip().rstrip("/").removesuffix("/v1")
        self._key = key.strip()
        self._timeout = timeout
        self._transport = transport

    def __repr__(self) -> str:
        return f"HubClient({self.base_url!r})"

    def use_key(self, api_key: str) -> None:
        """Use another key from now on; answers that are on their way keep theirs."""
        self._key = api_key.strip()

    @property
    def base_url(self) -> str:
        """Address of the API in use, ending in `/v1`; empty if none is configured."""
        return f"{self._root}/v1" if self._root else ""

    def models(self) -> list[str]:
        """List the models that the key may use, in the hub's order.

        Raises:
            NotConfigured, HubUnreachable, WrongKey, OverBudget, BadAnswer: see `litellm_hub.client.errors`.
        """
        return self._models(min(self._timeout, 30.0))

    def status(self) -> HubStatus:
        """Find out how the hub is, without waking a model and without raising.

        Asks `/health/liveliness` and `/key/info`, and `/v1/models` of a key that is known and has budget left: a key
        that is wrong or spent is no request for a model, and none that failed. Within about 3 seconds altogether.
        """
        deadline = time.monotonic() + STATUS_TIMEOUT
        key: Mapping[str, Any] = {}
        try:
            self._check_alive(STATUS_TIMEOUT / 3)
            key = self._key_info(STATUS_TIMEOUT / 3)
            spent, budget = amount(key.get("spend")), amount(key.get("max_budget"))
            if spent is not None and budget is not None and spent >= budget:
                raise OverBudget("The budget of this key is used up.", _renewal(_time(key.get("budget_reset_at"))))
            models = tuple(self._models(_left(deadline)))
        except NotConfigured as error:
            return _status(HubState.NOT_CONFIGURED, error)
        except HubUnreachable as error:
            return _status(HubState.UNREACHABLE, error)
        except WrongKey as error:
            return _status(HubState.WRONG_KEY, error)
        except OverBudget as error:
            return _with_budget(_status(HubState.OVER_BUDGET, error), key)
        except HubError as error:
            return _status(HubState.TROUBLE, error)
        if models:
            count = "1 model" if len(models) == 1 else f"{len(models)} models"
            status = HubStatus(HubState.OK, f"Connected, {count}.", models=models)
        else:
            reason = "The hub answers, but offers no model to this key."
            remedy = "Add a model to the lab's catalogue, or ask for a key that may use one."
            status = HubStatus(HubState.NO_MODELS, reason, remedy)
        return _with_budget(status, key)

    def warnings(self) -> list[str]:
        """Ask what the hub's operator should know: such as a usage log that is behind. No key is needed for it.

        Returns:
            A sentence for each; empty if all is well.

        Raises:
            NotConfigured, HubUnreachable, BadAnswer: see `litellm_hub.client.errors`.
        """
        self._check_address()
        # A hub that is not ready may say why: its status is not looked at.
        body = body_of(self._get("/health/readiness", STATUS_TIMEOUT, with_key=False))
        lab = body.get("lab", {}) if isinstance(body, Mapping) else None
        said = lab.get("warnings", []) if isinstance(lab, Mapping) else None
        if not isinstance(said, list):
            raise BadAnswer("The hub's answer about its readiness has an unexpected form.")
        return [str(warning) for warning in said]

    def model_info(self) -> dict[str, ModelInfo]:
        """Ask for context, prices, abilities and state of the models that the key may use.

        Where several deployments serve a model, the longest context and the highest price count.

        Raises:
            NotConfigured, HubUnreachable, WrongKey, OverBudget, BadAnswer: see `litellm_hub.client.errors`.
        """
        self._check_configured()
        return model_info(_json(self._get("/model_group/info", min(self._timeout, 30.0))))

    def delay(self, stream: ChatStream) -> Delay:
        """Ask what holds up an answer that has not begun. That wakes no model.

        Raises:
            NotConfigured, HubUnreachable, WrongKey, OverBudget, BadAnswer: see `litellm_hub.client.errors`.
        """
        self._check_configured()
        path = f"/model_group/info?{urlencode({'model_group': stream.model})}"
        return delay(_json(self._get(path, STATUS_TIMEOUT, call_id=stream.call_id)), stream.model)

    def count_tokens(self, text: str, model: str = "") -> int:
        """Estimate how many tokens `text` has, without asking anybody; see `litellm_hub.client.tokens` for the margin.

        Args:
            text: Any text; the tokens that a chat template adds are not counted.
            model: Name of the model. All models are counted alike as yet.
        """
        return estimate_tokens(text)

    def stream_chat(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> ChatStream:
        """Ask a model and get its answer piece by piece.

        What is None is not sent, so that the hub's defaults apply.

        Args:
            model: Name of the model as `models` lists it.
            messages: The conversation so far, oldest first.
            temperature: Randomness, 0 to 2.
            max_tokens: Longest answer, in tokens.
            top_p: Share of the probability mass that is sampled from, 0 to 1.
            stop: Text, or texts, at which the answer ends.
            seed: Makes sampling repeatable where the runtime supports it.
            tools: Schemas of the functions that the model may ask to be called, in OpenAI's form; what it asks for is
                in the stream's `tool_calls`.

        Returns:
            An iterator of `Delta`; the request leaves with the first step of the iteration.

        Raises:
            NotConfigured, WrongKey: at once, if the address or the key cannot be used. All other errors come from
                the iteration; see `ChatStream`.
        """
        self._check_configured()
        options: dict[str, object] = {"temperature": temperature, "max_tokens": max_tokens, "top_p": top_p}
        options |= {"stop": stop, "seed": seed, "tools": list(tools) if tools else None}
        body = {
            "model": model,
            "messages": [{name: part for name, part in message.items() if name in _SENT} for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **{name: value for name, value in options.items() if value is not None},
        }
        url, headers = f"{self.base_url}/chat/completions", self._headers
        return ChatStream(url=url, headers=headers, http=lambda: self._http, body=body)

    def _check_address(self) -> None:
        if not self._root:
            remedy = "Set LITELLM_BASE_URL to the hub's address (it ends in /v1), or pass base_url=."
            raise NotConfigured("The hub's address is not set.", remedy)
        if not _is_web_address(self._root):
            remedy = "LITELLM_BASE_URL must look like http://127.0.0.1:4100/v1."
            raise NotConfigured(f"The hub's address “{self._root}” is no web address.", remedy)

    def _check_configured(self) -> None:
        self._check_address()
        if not self._key:
            remedy = "Set LITELLM_API_KEY to a key that the hub has issued, or pass api_key=."
            raise NotConfigured("No key for the hub is set.", remedy)
        if not (self._key.isascii() and self._key.isprintable()):
            raise WrongKey("The key contains characters that no key has.")

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    @cached_property
    def _http(self) -> httpx.Client:
        """One client for all threads; making one costs more than a request.

        Each request has a connection of its own: `ChatStream.close` ends an answer by shutting its connection down.

        Raises:
            NotConfigured: The environment names a proxy that cannot be used.
        """
        url = httpx.URL(self._root)
        try:
            return httpx.Client(
                timeout=self._silence(self._timeout),
                transport=self._transport,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                # Loading the certificates takes 20 ms, for nothing where there is no TLS.
                verify=True if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                # A proxy meant for the outside world must not stand between a laptop and its own hub.
                trust_env=url.host not in {"127.0.0.1", "localhost", "::1"},
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            remedy = "Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or name the hub's host in NO_PROXY."
            raise NotConfigured(f"The proxy that the environment names cannot be used: {error}", remedy) from error

    @staticmethod
    def _silence(seconds: float) -> httpx.Timeout:
        """Return time-outs that give up after so many seconds without a byte."""
        return httpx.Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds))

    def _get(self, path: str, silence: float, *, with_key: bool = True, call_id: str = "") -> httpx.Response:
        headers = {**(self._headers if with_key else {}), **({CALL_ID: call_id} if call_id else {})}
        try:
            return self._http.get(f"{self._root}{path}", headers=headers, timeout=self._silence(silence))
        except httpx.TimeoutException as error:
            raise HubUnreachable(f"The hub at {self._root} does not answer in time.") from error
        except httpx.HTTPError as error:
            raise HubUnreachable(f"Nothing answers at {self._root}.", detail=str(error)) from error

    def _check_alive(self, silence: float) -> None:
        self._check_configured()
        status = self._get("/health/liveliness", silence).status_code
        if status != 200:
            raise HubUnreachable(f"{self._root} answers, but not as a ready hub (HTTP {status}).")

    def _models(self, silence: float) -> list[str]:
        self._check_configured()
        body = _json(self._get("/v1/models", silence))
        try:
            return [str(entry["id"]) for entry in body["data"]]
        except (KeyError, TypeError) as error:
            raise BadAnswer("The hub's list of models has an unexpected form.") from error

    def _key_info(self, silence: float) -> Mapping[str, Any]:
        """Ask for spend and budget of the key; empty where the hub does not tell them (of the master key, for one).

        Raises:
            WrongKey: The hub does not know the key, or it is blocked or expired.
        """
        try:
            response = self._get("/key/info", silence)
            if response.status_code == 403:  # a key may be one for models alone
                return {}
            info = _json(response).get("info")
        except WrongKey:
            raise
        except HubError:
            return {}
        return info if isinstance(info, Mapping) else {}


def _is_web_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in {"http", "https"} and bool(url.host)


def _left(deadline: float) -> float:
    return max(0.2, deadline - time.monotonic())


def _status(state: HubState, error: HubError) -> HubStatus:
    return HubStatus(state, error.reason, error.remedy)


def _with_budget(status: HubStatus, key: Mapping[str, Any]) -> HubStatus:
    """Add what the hub says of the key, None where it does not."""
    return replace(
        status,
        spend=amount(key.get("spend")),
        max_budget=amount(key.get("max_budget")),
        budget_reset_at=_time(key.get("budget_reset_at")),
    )


def _renewal(at: datetime | None) -> str:
    """Say when a budget counts from zero again, in the reader's time; empty where it never does."""
    if at is None:
        return ""
    when = at.astimezone()
    return f"It renews on {when.day} {when:%B %Y at %H:%M}; until then only the hub's owner can raise it."


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _json(response: httpx.Response) -> dict[str, Any]:
    body = body_of(response)
    if response.status_code != 200:
        raise error_from_answer(response.status_code, body, headers=response.headers)
    if not isinstance(body, dict):
        raise BadAnswer(f"{response.url} did not answer with a JSON object.")
    return body
