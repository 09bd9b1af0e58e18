"""The way to the runtimes: a request is sent again only if no runtime read it, and nobody waits for a dead one.

LiteLLM takes the transport through its public settings: `litellm.aclient_session` for `openai/` deployments, the call's
`client` for `ollama_chat/` ones (`RuntimeTransport.give_client`).
"""

import asyncio
import logging
import select
import time
from collections.abc import AsyncIterator, Awaitable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import httpx
import litellm
from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_ssl_configuration

from litellm_hub.gateway import admission
from litellm_hub.gateway.tool_text import Recovered, recovery_for

log = logging.getLogger("litellm_hub.runtime")

CRASHED = "an error was encountered while running the model"  # Ollama; what follows is just the last line of a log
BROKEN = "The model's runtime failed while it worked on the call."
SILENT = "The model's runtime was silent for"
QUIET = 30.0  # seconds of silence after which a runtime is asked, and for which it must deny any work
_ASK_EVERY = 5.0
_ASK_TIMEOUT = 10.0
_IDLE = 2.0  # llama.cpp's server closes an idle connection after 5 s, just when a request may be on its way
_REFUSED_PAUSE = 0.5
_STREAMS = ("text/event-stream", "application/x-ndjson")

_T = TypeVar("_T")


class _Sending:
    """What became of the request that the current task sends."""

    connection: aiohttp.connector.Connection | None = None
    was_late = False  # the connection had ended when the request was written


_sending: ContextVar[_Sending | None] = ContextVar("lab_sending", default=None)


class RuntimeSilentError(httpx.ReadTimeout):
    """The runtime was silent for too long, or says itself that it is not working on the call."""


class RuntimeTransport(httpx.AsyncBaseTransport):
    """LiteLLM's own transport, with care for runtimes that restart, close idle connections or hang."""

    def __init__(self, quiet: float = QUIET) -> None:
        """Take the time of silence, in seconds, after which the runtime is asked whether it works."""
        verify = get_ssl_configuration()
        self._quiet = quiet
        self._kept = LiteLLMAiohttpTransport(client=_session, ssl_verify=verify)
        self._fresh = LiteLLMAiohttpTransport(client=_single_use_session, ssl_verify=verify)
        self._questions = httpx.AsyncClient(transport=self._fresh, timeout=_ASK_TIMEOUT)
        self._ollama = AsyncHTTPHandler(transport=self)

    def install(self) -> None:
        """Make LiteLLM use this transport for its `openai/` deployments."""
        litellm.aclient_session = httpx.AsyncClient(transport=self, follow_redirects=True)

    def give_client(self, call: dict[str, Any]) -> None:
        """Make the call use this transport, if its deployment is one of Ollama.

        Args:
            call: The arguments of LiteLLM's `async_pre_call_deployment_hook`; `client` is set.
        """
        provider = call.get("custom_llm_provider")
        if provider == "ollama_chat" or str(call.get("model")).startswith("ollama_chat/"):
            call["client"] = self._ollama

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the answer; the body of a stream is still to come.

        A runtime that gives no answer is answered for: 503 when it cannot be reached, 502 when it broke off or crashed,
        504 when not a byte came in the request's own read time-out, or when it is silent and not working on the call.
        """
        try:
            return await self._answered(request)
        except RuntimeSilentError as error:
            return _answer(request, httpx.codes.GATEWAY_TIMEOUT, str(error))
        except httpx.RequestError as error:
            if isinstance(error.__cause__, aiohttp.ClientConnectorError):
                return _answer(request, httpx.codes.SERVICE_UNAVAILABLE, "The model's runtime does not answer.")
            return _answer(
                request, httpx.codes.BAD_GATEWAY, "The model's runtime closed the connection before it had answered."
            )

    async def aclose(self) -> None:
        """Close what is kept open; a later request opens it anew."""
        for transport in (self._kept, self._fresh):
            await transport.aclose()

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        watch = _Watch(request, self._questions, self._quiet)
        visit = admission.current()
        try:
            response = await watch.wait(self._send(request))
            response.stream = _Watched(response.stream, watch, visit)
            recovery = recovery_for(request.url.path, await request.aread()) if response.is_success else None
            if response.headers.get("content-type", "").startswith(_STREAMS):
                if recovery is not None:
                    response.stream = Recovered(response.stream, recovery)
                return response
            body = await response.aread()
            if recovery is not None and (changed := recovery.plain(body)) is not body:
                return _with_body(response, changed)
            text = body.decode(errors="replace")
            if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR and CRASHED in text:
                log.warning("The runtime at %s crashed: %s", request.url.netloc.decode(), text)
                return _answer(request, httpx.codes.BAD_GATEWAY, BROKEN)
        except BaseException:
            watch.stop()
            if visit is not None:
                visit.leave()
            raise
        return response

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and once more when it is certain that no runtime read it."""
        sending, sent = _Sending(), time.monotonic()
        _sending.set(sending)
        try:
            return await self._kept.handle_async_request(request)
        except httpx.NetworkError as error:
            cause = error.__cause__
            if isinstance(cause, aiohttp.ClientConnectorError):  # nobody took the connection
                await asyncio.sleep(_REFUSED_PAUSE)
            # The system resets a connection whose other end was closed with the request, or part of it, unread.
            elif not (sending.was_late or isinstance(cause, aiohttp.ClientOSError)):
                seconds = time.monotonic() - sent
                log.warning("The runtime at %s broke off after %.1f s: %r", request.url.netloc.decode(), seconds, cause)
                raise
        return await self._fresh.handle_async_request(request)


class _Watch:
    """Ends a wait when the runtime is silent and, for as long again, denies that it works on the call.

    A wait that ends in time costs no timer of its own: one per call looks from time to time how long it is silent.
    """

    def __init__(self, request: httpx.Request, questions: httpx.AsyncClient, quiet: float) -> None:
        self._request = request
        self._questions = questions
        self._quiet = quiet
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._scope: asyncio.Timeout | None = None
        self._asking: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(quiet, self._look)

    async def wait(self, awaited: Awaitable[_T]) -> _T:
        """Await something from the runtime.

        Raises:
            RuntimeSilentError: It does not come.
        """
        self._since = self._loop.time()
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scope = scope
                return await awaited
        except httpx.TimeoutException:
            raise self._silent() from None
        except TimeoutError:
            if not scope.expired():
                raise
            raise self._silent(" and is not working on the call") from None
        finally:
            self._scope = None

    def _silent(self, more: str = "") -> RuntimeSilentError:
        message = f"{SILENT} {self._loop.time() - self._since:.0f} s{more}."
        return RuntimeSilentError(message, request=self._request)

    def stop(self) -> None:
        """End the watch."""
        self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def _look(self) -> None:
        silent = self._loop.time() - self._since
        if self._scope is not None and silent >= self._quiet:
            self._asking = self._loop.create_task(self._ask())
        else:
            self._timer = self._loop.call_later(max(self._quiet - silent, 0.1), self._look)

    async def _ask(self) -> None:
        since, denied = self._since, None
        while self._scope is not None and self._since == since:
            if await _denies_work(self._questions, self._request):
                denied = self._loop.time() if denied is None else denied
                if self._loop.time() - denied >= self._quiet and self._scope is not None and self._since == since:
                    self._scope.reschedule(self._loop.time())
                    return
            else:
                denied = None
            await asyncio.sleep(min(_ASK_EVERY, self._quiet / 3))
        self._asking = None
        self._timer = self._loop.call_later(self._quiet, self._look)


class _Watched(httpx.AsyncByteStream):
    """An answer's body whose every wait is watched."""

    def __init__(self, body: Any, watch: _Watch, visit: admission.Visit | None) -> None:
        self._body = body
        self._watch = watch
        self._visit = visit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._body)
        try:
            while True:
                try:
                    chunk = await self._watch.wait(anext(chunks))
                except StopAsyncIteration:
                    return
                yield chunk
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        self._watch.stop()
        if self._visit is not None:
            self._visit.leave()  # the runtime's slot is free before the gateway is done
        await self._body.aclose()


async def _denies_work(client: httpx.AsyncClient, request: httpx.Request) -> bool:
    """Ask the runtime of `request`; True when it is not working on anything, or does not answer at all.

    Nothing that is asked wakes a model. llama.cpp's slots wait for the batch that is being read, so silence of theirs
    proves nothing; its health and Ollama's list of loaded models are answered at any time.
    """
    authorization = request.headers.get("authorization")
    headers = {"authorization": authorization} if authorization else {}

    async def ask(path: str) -> httpx.Response:
        return await client.get(request.url.copy_with(path=path, query=None), headers=headers)

    try:
        answer = await ask("/api/ps" if _is_ollama(request) else "/health")
    except httpx.HTTPError:
        return True
    if answer.status_code != httpx.codes.OK:
        return False
    try:
        if _is_ollama(request):
            return not answer.json()["models"]
        slots = (await ask("/slots")).json()
        return not any(slot["is_processing"] for slot in slots)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def _with_body(response: httpx.Response, body: bytes) -> httpx.Response:
    """Return the answer with another body."""
    headers = {"content-type": response.headers["content-type"]}
    return httpx.Response(response.status_code, headers=headers, content=body, request=response.request)


def _answer(request: httpx.Request, status: int, message: str) -> httpx.Response:
    """Return an error of the gateway's own, in the form from which LiteLLM takes the words."""
    if _is_ollama(request):
        return httpx.Response(status, text=message)
    return httpx.Response(status, json={"error": {"message": message, "type": "runtime_error", "code": status}})


def _is_ollama(request: httpx.Request) -> bool:
    return request.url.path.endswith("/api/chat")


class _Connector(aiohttp.TCPConnector):
    """Remembers the connection of the current task's request."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        sending = _sending.get()
        if sending is not None:
            sending.connection = connection
        return connection


async def _note_end(session: aiohttp.ClientSession, context: SimpleNamespace, parameters: object) -> None:
    """See, just before the request is written, whether something came on its connection: that can only be its end.

    llama.cpp's server closes a connection on which nothing comes for 5 s, also a new one; this loop may be too busy to
    send the request, or to notice the end, in time.
    """
    sending = _sending.get()
    transport = sending.connection.transport if sending is not None and sending.connection is not None else None
    if sending is not None and transport is not None:
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        sending.was_late = bool(poll.poll(0))


def _session() -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_note_end)
    connector = _Connector(limit=0, keepalive_timeout=_IDLE)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace])


def _single_use_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
