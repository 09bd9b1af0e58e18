"""One streamed answer of the hub, read with httpx.

The openai package would do this too, at four to five times the processor time per token.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from litellm_hub.client.errors import AnswerCut, BadAnswer, HubError, HubUnreachable, error_from_answer, without_keys
from litellm_hub.client.sse import Event, EventDecoder
from litellm_hub.client.tool_calls import ToolCall, ToolCallCollector

CALL_ID = "x-litellm-call-id"  # the header by which a caller names a request


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
        call_id: Names the request to the hub.
        closed: True once `close` was called before the end of the answer.
        finish_reason: Why the model ended ("stop", "length", "tool_calls", …); None before the end and after `close`.
        usage: The hub's figures; None before the end, after `close`, or if the hub gave none.
        time_to_first_token: Seconds from the request to the first text or tool call; None before that.
        duration: Seconds from the request to the end (until now, while it runs); None before the request.

    Raises:
        WrongKey, OverBudget, RateLimited, UnknownModel, PromptTooLong, ToolsUnsupported, ModelLoading,
            RuntimeUnavailable: the hub refused.
        HubUnreachable: no connection, or silence, before the answer began.
        AnswerCut: the answer broke off; what had arrived is in its `partial`.
        BadAnswer: what came is no stream of chat completion chunks.
    """

    def __init__(
        self, *, url: str, headers: Mapping[str, str], http: Callable[[], httpx.Client], body: Mapping[str, object]
    ) -> None:
        self.model = str(body.get("model", ""))
        self.call_id = str(uuid.uuid4())
        self.closed = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.time_to_first_token: float | None = None
        self._url = url
        self._headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        self._headers |= {**headers, CALL_ID: self.call_id}
        self._http = http
        # Half a surrogate pair, which a browser may send, cannot be encoded.
        self._body = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        self._pieces: list[str] = []
        self._calls = ToolCallCollector()
        self._started: float | None = None
        self._ended: float | None = None
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deltas = self._run()

    @property
    def text(self) -> str:
        """What has arrived so far; put together at each reading."""
        return "".join(self._pieces)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that the model asks for; complete once the iteration has ended."""
        return self._calls.calls()

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
            yield from self._read()
        except HubError:
            if not self.closed:
                raise
        except httpx.HTTPError as error:
            if not self.closed and (translated := self._connection_lost(error)) is not None:
                raise translated from error
        finally:
            with self._lock:
                self._ended = self._ended or time.monotonic()
                self._socket = None

    def _read(self) -> Generator[Delta, None, None]:
        http = self._http()
        watch = {"trace": self._on_connection}
        with http.stream("POST", self._url, content=self._body, headers=self._headers, extensions=watch) as response:
            _check(response, self.model)
            for event in _events(response):
                if event.data.startswith("[DONE]"):
                    break
                text = self._take(event)
                if self.closed:
                    return
                if text:
                    yield Delta(text)
        if self.closed:
            return
        if self.finish_reason is None:
            raise self._cut("The answer ended without the end mark of a whole one.")
        if any(not call.name for call in self.tool_calls):
            raise BadAnswer("The model asks for a tool without naming it.", retry=True)

    def _take(self, event: Event) -> str:
        """Note what an event says and return its text."""
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            if event.name == "error":
                raise self._failed(event.data) from error
            raise BadAnswer(
                "The stream of the answer is malformed.", detail=without_keys(str(error)), retry=True
            ) from error
        if isinstance(chunk, dict) and (event.name == "error" or chunk.get("error")):
            raise self._failed(chunk.get("error") or chunk)
        try:
            return self._take_chunk(chunk)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadAnswer("A piece of the answer has an unexpected form.", retry=True) from error

    def _take_chunk(self, chunk: dict[str, Any]) -> str:
        if used := chunk.get("usage"):
            cost = used.get("cost")
            price = float(cost) if cost is not None else None
            self.usage = Usage(int(used["prompt_tokens"]), int(used["completion_tokens"]), price)
        choices = chunk.get("choices")
        if not choices:
            return ""
        delta = choices[0]["delta"] or {}
        if calls := delta.get("tool_calls"):
            self._calls.add(calls)
        content = delta.get("content")
        self.finish_reason = choices[0].get("finish_reason") or self.finish_reason
        text = content if isinstance(content, str) else ""
        if (text or calls) and self.time_to_first_token is None and self._started is not None:
            self.time_to_first_token = time.monotonic() - self._started
        if not text:
            return ""
        # Half a surrogate pair cannot be encoded: it would fail wherever the text goes next.
        text = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        self._pieces.append(text)
        return text

    @property
    def _begun(self) -> bool:
        return bool(self._pieces or self._calls)

    def _failed(self, said: object) -> HubError:
        """Return the exception for an error that came inside the stream."""
        refused = error_from_answer(None, said, model=self.model)
        if not self._begun and type(refused) is not HubError:
            return refused
        return self._cut("The answer broke off: the model's runtime failed.", refused.detail)

    def _connection_lost(self, error: httpx.HTTPError) -> HubError | None:
        """Return the exception for a connection that was lost; None if the answer was whole all the same."""
        if self.finish_reason is not None:
            return None
        late = isinstance(error, httpx.TimeoutException)
        if self._begun:
            what = "the hub fell silent" if late else "the connection to the hub was lost"
            return self._cut(f"The answer broke off: {what}.", str(error))
        root = self._url.partition("/v1/")[0]
        if late:
            return HubUnreachable(f"The hub at {root} does not answer in time.", detail=str(error))
        if isinstance(error, httpx.ConnectError):
            return HubUnreachable(f"Nothing answers at {root}.", detail=str(error))
        reason = f"The connection to the hub at {root} was lost before the answer began."
        return HubUnreachable(reason, "Send again; if it happens again, the hub's log says more.", detail=str(error))

    def _cut(self, reason: str, detail: str = "") -> AnswerCut:
        return AnswerCut(reason, detail=without_keys(detail), partial=self.text)

    def _on_connection(self, event: str, info: Mapping[str, Any]) -> None:
        """Take the connection as it is made, so that `close` works before the answer begins."""
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        with self._lock:
            self._socket = info["return_value"].get_extra_info("socket")
            if self.closed and self._socket is not None:
                _shut(self._socket)


def _check(response: httpx.Response, model: str) -> None:
    """Raise what the hub refused with, if it did."""
    if response.status_code != 200:
        response.read()
        raise error_from_answer(response.status_code, body_of(response), model=model, headers=response.headers)
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        raise BadAnswer(f"The hub answered with “{kind or 'nothing'}” instead of a stream.")


def body_of(response: httpx.Response) -> object:
    """Return the decoded JSON of an answer that was read, or its text if it is none."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return response.text


def _events(response: httpx.Response) -> Iterator[Event]:
    decoder = EventDecoder()
    for received in response.iter_bytes():
        try:
            yield from decoder.feed(received)
        except ValueError as error:
            raise BadAnswer("The stream of the answer is malformed.", detail=str(error), retry=True) from error


def _shut(connection: socket.socket) -> None:
    """Shut a connection down under a thread that may be reading from it.

    Closing the descriptor would not do: the kernel keeps the connection while another thread waits on it, so that
    the hub would go on generating. The base class's method leaves the state of a TLS object to its own thread.
    """
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # already gone, which is what was wanted
