"""A small client of the hub: which models there are, how the hub is, and streamed chat.

    client = HubClient()  # address and key from LITELLM_BASE_URL and LITELLM_API_KEY
    with client.stream_chat("smollm2", [{"role": "user", "content": "Hello"}]) as answer:
        for delta in answer:
            print(delta.text, end="")
    print(answer.usage, answer.time_to_first_token)

Nothing is ever retried behind the caller's back: each call is one request and at most one bill. Keys appear in no
message, log or repr. All exceptions are in `litellm_hub.errors`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

import httpx

from litellm_hub.errors import (
    BadAnswer,
    HubError,
    HubUnreachable,
    NotConfigured,
    OverBudget,
    WrongKey,
    error_from_answer,
)
from litellm_hub.stream import ChatStream, Delta, Usage

__all__ = ["ChatStream", "Delta", "HubClient", "HubState", "HubStatus", "Message", "Usage"]

CONNECT_TIMEOUT = 5.0
STATUS_TIMEOUT = 3.0


class Message(TypedDict):
    """One message of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


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
    """

    state: HubState
    reason: str
    remedy: str = ""
    models: tuple[str, ...] = ()
    spend: float | None = None
    max_budget: float | None = None


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
        # Built once: loading the certificates takes longer than many a request.
        self._tls = httpx.create_ssl_context() if transport is None else None

    def __repr__(self) -> str:
        return f"HubClient({self.base_url!r})"

    @property
    def base_url(self) -> str:
        """Address of the API in use, ending in `/v1`; empty if none is configured."""
        return f"{self._root}/v1" if self._root else ""

    def models(self) -> list[str]:
        """List the models that the key may use, in the hub's order.

        Raises:
            NotConfigured, HubUnreachable, WrongKey, OverBudget, BadAnswer: see `litellm_hub.errors`.
        """
        return self._models(min(self._timeout, 30.0))

    def status(self) -> HubStatus:
        """Find out how the hub is, without waking a model and without raising.

        Asks `/health/liveliness`, `/v1/models` and `/key/info`, within about 3 seconds altogether.
        """
        deadline = time.monotonic() + STATUS_TIMEOUT
        try:
            self._check_alive(STATUS_TIMEOUT / 3)
            models = tuple(self._models(_left(deadline)))
        except NotConfigured as error:
            return _status(HubState.NOT_CONFIGURED, error)
        except HubUnreachable as error:
            return _status(HubState.UNREACHABLE, error)
        except WrongKey as error:
            return _status(HubState.WRONG_KEY, error)
        except OverBudget as error:
            return _status(HubState.OVER_BUDGET, error)
        except HubError as error:
            return _status(HubState.TROUBLE, error)
        spend, budget = self._spend(_left(deadline))
        if not models:
            return HubStatus(
                HubState.NO_MODELS,
                "The hub answers, but offers no model to this key.",
                "Add a model to the lab's catalogue, or ask for a key that may use one.",
                spend=spend,
                max_budget=budget,
            )
        count = "1 model" if len(models) == 1 else f"{len(models)} models"
        return HubStatus(HubState.OK, f"Connected, {count}.", models=models, spend=spend, max_budget=budget)

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

        Returns:
            An iterator of `Delta`; the request leaves with the first step of the iteration.

        Raises:
            NotConfigured, WrongKey: at once, if the address or the key cannot be used. All other errors come from
                the iteration; see `ChatStream`.
        """
        self._check_configured()
        options = {"temperature": temperature, "max_tokens": max_tokens, "top_p": top_p, "stop": stop, "seed": seed}
        return ChatStream(
            base_url=self.base_url,
            api_key=self._key,
            new_http=self._http_factory(self._timeout),
            model=model,
            messages=[{"role": message["role"], "content": message["content"]} for message in messages],
            options={name: value for name, value in options.items() if value is not None},
        )

    def _check_configured(self) -> None:
        if not self._root:
            remedy = "Set LITELLM_BASE_URL to the hub's address (it ends in /v1), or pass base_url=."
            raise NotConfigured("The hub's address is not set.", remedy)
        if not _is_web_address(self._root):
            remedy = "LITELLM_BASE_URL must look like http://127.0.0.1:4100/v1."
            raise NotConfigured(f"The hub's address “{self._root}” is no web address.", remedy)
        if not self._key:
            remedy = "Set LITELLM_API_KEY to a key that the hub has issued, or pass api_key=."
            raise NotConfigured("No key for the hub is set.", remedy)
        if not (self._key.isascii() and self._key.isprintable()):
            raise WrongKey("The key contains characters that no key has.")

    def _http_factory(self, silence: float) -> Callable[[], httpx.Client]:
        """Return a maker of HTTP clients that give up after `silence` seconds without a byte."""
        # A proxy meant for the outside world must not stand between a laptop and its own hub.
        local = httpx.URL(self._root).host in {"127.0.0.1", "localhost", "::1"}

        def new() -> httpx.Client:
            return httpx.Client(
                timeout=httpx.Timeout(silence, connect=min(CONNECT_TIMEOUT, silence)),
                transport=self._transport,
                verify=self._tls or True,
                trust_env=not local,
            )

        return new

    def _get(self, path: str, silence: float) -> httpx.Response:
        try:
            with self._http_factory(silence)() as http:
                return http.get(f"{self._root}{path}", headers={"Authorization": f"Bearer {self._key}"})
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

    def _spend(self, silence: float) -> tuple[float | None, float | None]:
        """Return spend and budget of the key; None where unknown: the status stands without them."""
        try:
            info = _json(self._get("/key/info", silence)).get("info")
        except HubError:
            return None, None
        info = info if isinstance(info, Mapping) else {}
        return _amount(info.get("spend")), _amount(info.get("max_budget"))


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


def _amount(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.status_code != 200:
        raise error_from_answer(response.status_code, body or response.text, headers=response.headers)
    if not isinstance(body, dict):
        raise BadAnswer(f"{response.url} did not answer with a JSON object.")
    return body
