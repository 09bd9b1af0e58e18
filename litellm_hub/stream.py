"""One streamed answer of the hub.

The openai package is used here and nowhere else; `ChatStream` shows nothing of it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import httpx
import openai
from openai.types.chat import ChatCompletionChunk

from litellm_hub.errors import AnswerCut, BadAnswer, HubError, HubUnreachable, error_from_answer, without_keys


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer.

    Attributes:
        text: The next characters, never empty.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the hub counted for one answer.

    Attributes:
        prompt_tokens: Tokens read, the chat template's included.
        completion_tokens: Tokens written.
        cost: Price in the hub's currency (US dollars by default); None if the hub gave none.
    """

    prompt_tokens: int
    completion_tokens: int
    cost: float | None = None


class ChatStream:
    """Iterator of the `Delta`s of one answer; made by `HubClient.stream_chat`.

    The request leaves with the first step. `close` ends it from any thread, at any time; use the stream as a context
    manager to be sure of that. The iteration ends quietly when the answer is whole or was closed; else it raises.

    Attributes:
        text: What has arrived so far.
        closed: True once `close` was called before the end of the answer.
        finish_reason: Why the model ended ("stop", "length", …); None before the end and after `close`.
        usage: The hub's figures; None before the end, after `close`, or if the hub gave none.
        time_to_first_token: Seconds from the request to the first text; None before that.
        duration: Seconds from the request to the end (until now, while it runs); None before the request.

    Raises:
        WrongKey, OverBudget, RateLimited, UnknownModel, PromptTooLong, RuntimeUnavailable: the hub refused.
        HubUnreachable: no connection, or silence, before the answer began.
        AnswerCut: the answer broke off; what had arrived is in its `partial`.
        BadAnswer: what came is no stream of chat completion chunks.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        new_http: Callable[[], httpx.Client],
        model: str,
        messages: list[dict[str, str]],
        options: Mapping[str, object],
    ) -> None:
        self.model = model
        self.text = ""
        self.closed = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.time_to_first_token: float | None = None
        self._base_url = base_url
        self._api_key = api_key
        self._new_http = new_http
        self._messages = messages
        self._options = dict(options)
        self._started: float | None = None
        self._ended: float | None = None
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deltas = self._run()

    @property
    def duration(self) -> float | None:
        """Seconds from the request to the end, or until now; None before the request."""
        if self._started is None:
            return None
        return (self._ended or time.monotonic()) - self._started

    def __iter__(self) -> ChatStream:
        return self

    def __next__(self) -> Delta:
        return next(self._deltas)

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the request at once, and with it generation and billing. Callable from any thread, more than once.

        A thread that is waiting in the iteration gets its end within milliseconds.
        """
        with self._lock:
            if self._ended is not None:
                return
            self.closed = True
            if self._started is None:
                self._ended = self._started = time.monotonic()
            if self._socket is not None:
                _shut(self._socket)

    def _run(self) -> Generator[Delta, None, None]:
        with self._lock:
            if self.closed:
                return
            self._started = time.monotonic()
        try:
            with self._new_http() as http:
                http.event_hooks = {"request": [self._watch]}
                yield from self._read(http)
        except HubError:
            if not self.closed:
                raise
        except (openai.APIError, httpx.HTTPError, ValueError) as error:
            if not self.closed and (translated := self._translate(error)) is not None:
                raise translated from error
        finally:
            with self._lock:
                self._ended = self._ended or time.monotonic()
                self._socket = None

    def _read(self, http: httpx.Client) -> Generator[Delta, None, None]:
        client = openai.OpenAI(
            base_url=self._base_url, api_key=self._api_key, http_client=http, max_retries=0, timeout=http.timeout
        )
        stream = client.chat.completions.create(
            model=self.model,
            messages=cast(Any, self._messages),
            stream=True,
            stream_options={"include_usage": True},
            extra_body=self._options,
        )
        with stream:
            kind = stream.response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise BadAnswer(f"The hub answered with “{kind or 'nothing'}” instead of a stream.")
            for chunk in stream:
                text = self._take(chunk)
                if self.closed:
                    return
                if text:
                    yield Delta(text)
        if self.finish_reason is None and not self.closed:
            raise self._cut("The answer ended without the end mark of a whole one.")

    def _take(self, chunk: ChatCompletionChunk) -> str:
        """Note what a chunk says and return its text."""
        try:
            choice = chunk.choices[0] if chunk.choices else None
            content = choice.delta.content if choice else None
            reason = choice.finish_reason if choice else None
            used = chunk.usage
            if used is not None:
                cost = getattr(used, "cost", None)
                price = float(cost) if cost is not None else None
                self.usage = Usage(int(used.prompt_tokens), int(used.completion_tokens), price)
        except (AttributeError, TypeError, IndexError, ValueError) as error:
            raise BadAnswer("A piece of the answer has an unexpected form.") from error
        self.finish_reason = reason or self.finish_reason
        if not isinstance(content, str) or not content:
            return ""
        if self.time_to_first_token is None and self._started is not None:
            self.time_to_first_token = time.monotonic() - self._started
        # Half a surrogate pair cannot be encoded: it would fail wherever the text goes next.
        content = content.encode("utf-8", "replace").decode("utf-8")
        self.text += content
        return content

    def _translate(self, error: Exception) -> HubError | None:
        """Return the exception to raise for `error`, or None if the answer was whole all the same."""
        if isinstance(error, openai.APIStatusError):
            body = error.body if error.body is not None else error.response.text
            return error_from_answer(error.status_code, body, model=self.model, headers=error.response.headers)
        if isinstance(error, openai.APIConnectionError | httpx.HTTPError):
            return self._connection_lost(error)
        if isinstance(error, openai.APIError):
            refused = error_from_answer(None, error.body, model=self.model)
            if not self.text and type(refused) is not HubError:
                return refused
            return self._cut("The answer broke off: the model's runtime failed.", refused.detail)
        return BadAnswer("The stream of the answer is malformed.", detail=without_keys(str(error)))

    def _connection_lost(self, error: Exception) -> HubError | None:
        if self.finish_reason is not None:
            return None
        late = isinstance(error, openai.APITimeoutError | httpx.TimeoutException)
        if self.text:
            what = "the hub fell silent" if late else "the connection to the hub was lost"
            return self._cut(f"The answer broke off: {what}.", str(error))
        root = self._base_url.removesuffix("/v1")
        if late:
            return HubUnreachable(f"The hub at {root} does not answer in time.", detail=str(error))
        return HubUnreachable(f"Nothing answers at {root}.", detail=str(error.__cause__ or error))

    def _cut(self, reason: str, detail: str = "") -> AnswerCut:
        return AnswerCut(reason, detail=without_keys(detail), partial=self.text)

    def _watch(self, request: httpx.Request) -> None:
        """Have httpx report the connection as it is made, so that `close` works before the answer begins."""
        request.extensions["trace"] = self._on_connection

    def _on_connection(self, event: str, info: Mapping[str, Any]) -> None:
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        with self._lock:
            self._socket = info["return_value"].get_extra_info("socket")
            if self.closed and self._socket is not None:
                _shut(self._socket)


def _shut(connection: socket.socket) -> None:
    """Shut a connection down under a thread that may be reading from it.

    Closing the descriptor would not do: the kernel keeps the connection while another thread waits on it, so that
    the hub would go on generating. The base class's method leaves the state of a TLS object to its own thread.
    """
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # already gone, which is what was wanted
