from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from aiohttp import web

from litellm_hub.gateway import admission, runtime
from litellm_hub.gateway.fair_queue import FairQueue
from litellm_hub.gateway.runtime import RuntimeSilentError, RuntimeTransport

pytestmark = pytest.mark.anyio

CHAT, OLLAMA = "/v1/chat/completions", "/api/chat"
BOTH = pytest.mark.parametrize("path", [CHAT, OLLAMA])
QUIET = 0.15
HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Runtime:
    """A runtime whose chat does what the test says."""

    def __init__(self) -> None:
        self.chat: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.hang
        self.busy = False
        self.responds = True
        self.left = asyncio.Event()
        self.url = ""

    async def hang(self, request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError

    async def state(self, request: web.Request) -> web.StreamResponse:
        if not self.responds:
            return await self.hang(request)
        says = {"/health": {}, "/slots": [{"is_processing": self.busy}], "/api/ps": {"models": ["m"] * self.busy}}
        return web.json_response(says[request.path])


@asynccontextmanager
async def running(fake: Runtime) -> AsyncIterator[str]:
    async def chat(request: web.Request) -> web.StreamResponse:
        return await fake.chat(request)

    app = web.Application()
    app.add_routes([web.post(path, chat) for path in (CHAT, OLLAMA)])
    app.add_routes([web.get(path, fake.state) for path in ("/health", "/slots", "/api/ps")])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.fixture
async def fake() -> AsyncIterator[Runtime]:
    runtime = Runtime()
    async with running(runtime) as runtime.url:
        yield runtime


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=RuntimeTransport(QUIET), timeout=10) as started:
        yield started


class Connections:
    """A server that treats each connection as the test says; counts connections and requests."""

    def __init__(self, *scripts: list[bytes]) -> None:
        self.scripts = list(scripts)
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in self.scripts.pop(0):
            await reader.readuntil(b"\r\n\r\n{}")
            self.requests += 1
            if not answer:
                break
            writer.write(answer)
        writer.close()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", port) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{CHAT}"


async def test_a_request_on_a_connection_that_was_closed_while_the_gateway_was_busy_is_sent_once_more(
    client: httpx.AsyncClient,
) -> None:

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(HELLO)
            answered.wait(10)
            connection.close()
            closed.set()

    answered, closed = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}{CHAT}"
        assert (await client.post(url, content=b"{}")).status_code == 200
        answered.set()
        closed.wait(10)  # the loop does not turn meanwhile
        assert (await client.post(url, content=b"{}")).status_code == 200
        thread.join()


@pytest.mark.parametrize("answers", [[b""], [HELLO, b""]])
async def test_a_request_that_a_runtime_took_and_dropped_is_not_sent_again(
    client: httpx.AsyncClient, answers: list[bytes]
) -> None:
    server = Connections(answers, [HELLO])
    async with server.listening() as url:
        for _ in answers:
            answer = await client.post(url, content=b"{}")
    assert answer.status_code == 502
    assert "closed the connection" in answer.json()["error"]["message"]
    assert server.requests == len(answers)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_REFUSED_PAUSE", 0.0)


@pytest.mark.usefixtures("soon")
async def test_a_runtime_that_is_just_starting_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    transport = RuntimeTransport()
    first = transport._kept.handle_async_request
    async with AsyncExitStack() as started, httpx.AsyncClient(transport=transport) as client:

        async def then_starts(request: httpx.Request) -> httpx.Response:
            try:
                return await first(request)
            finally:
                await started.enter_async_context(Connections([HELLO]).listening(port))

        monkeypatch.setattr(transport._kept, "handle_async_request", then_starts)
        assert (await client.post(f"http://127.0.0.1:{port}{CHAT}", content=b"{}")).status_code == 200


@pytest.mark.usefixtures("soon")
@BOTH
async def test_a_runtime_that_is_not_there_is_named_as_such(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(f"http://127.0.0.1:9{path}")
    assert answer.status_code == 503
    assert "runtime does not answer" in answer.text


@BOTH
@pytest.mark.parametrize("responds", [True, False])
async def test_a_silent_runtime_that_denies_work_is_given_up(
    client: httpx.AsyncClient, fake: Runtime, path: str, responds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.responds = responds
    client_of_questions = client._transport._questions  # type: ignore[attr-defined]
    monkeypatch.setattr(client_of_questions, "timeout", httpx.Timeout(0.05))
    answer = await client.post(fake.url + path)
    assert answer.status_code == 504
    assert "is not working on the call" in answer.text
    await asyncio.wait_for(fake.left.wait(), 5)


@BOTH
async def test_a_runtime_that_works_is_waited_for(client: httpx.AsyncClient, fake: Runtime, path: str) -> None:
    fake.busy = True

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(QUIET * 5)
        return web.json_response({"done": True})

    fake.chat = slow
    assert (await client.post(fake.url + path)).json() == {"done": True}


@BOTH
async def test_a_runtime_without_a_byte_in_the_time_limit_is_given_up(
    client: httpx.AsyncClient, fake: Runtime, path: str
) -> None:
    fake.busy = True
    answer = await client.post(fake.url + path, timeout=QUIET * 2)
    assert answer.status_code == 504
    assert "runtime was silent for" in answer.text


@pytest.mark.parametrize("busy", [True, False])
async def test_a_stream_that_falls_silent_ends_in_an_error(
    client: httpx.AsyncClient, fake: Runtime, busy: bool
) -> None:
    fake.busy = busy

    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: half\n\n")
        return await fake.hang(request)

    fake.chat = half
    async with client.stream("POST", fake.url + CHAT, timeout=QUIET * 6) as answer:
        chunks = answer.aiter_bytes()
        assert await anext(chunks) == b"data: half\n\n"
        with pytest.raises(RuntimeSilentError, match="silent for"):
            await anext(chunks)
    await asyncio.wait_for(fake.left.wait(), 5)


async def test_a_caller_that_leaves_ends_the_runtimes_work(client: httpx.AsyncClient, fake: Runtime) -> None:
    asked = asyncio.create_task(client.post(fake.url + CHAT))
    await asyncio.sleep(QUIET / 2)
    asked.cancel()
    await asyncio.wait_for(fake.left.wait(), 5)


@pytest.mark.parametrize("status", [200, 500])
async def test_a_slot_is_free_when_the_runtimes_answer_has_ended(
    client: httpx.AsyncClient, fake: Runtime, status: int
) -> None:
    half, rest = asyncio.Event(), asyncio.Event()

    async def pieces(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=status, headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: half\n\n")
        half.set()
        await rest.wait()
        return answer

    fake.chat = pieces
    with admission.visit("", asyncio.Event().wait) as visit:  # type: ignore[arg-type]
        visit.ticket = FairQueue().enter("key", {"a": 1})
        asked = asyncio.create_task(client.post(fake.url + CHAT))
        await half.wait()
        assert visit.host == "a"
        rest.set()
        await asked
        assert visit.host is None


async def test_a_slot_of_a_runtime_that_is_not_there_is_free(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_REFUSED_PAUSE", 0.0)
    with admission.visit("", asyncio.Event().wait) as visit:  # type: ignore[arg-type]
        visit.ticket = FairQueue().enter("key", {"a": 1})
        assert (await client.post("http://127.0.0.1:1" + CHAT)).status_code == 503
        assert visit.host is None


@BOTH
async def test_a_crash_says_nothing_of_the_log_line_that_the_runtime_adds(
    client: httpx.AsyncClient, fake: Runtime, path: str
) -> None:
    async def crash(request: web.Request) -> web.StreamResponse:
        words = f"{runtime.CRASHED}: request (5123 tokens) exceeds the available context size (4096 tokens)"
        return web.json_response({"error": words}, status=500)

    fake.chat = crash
    answer = await client.post(fake.url + path)
    assert answer.status_code == 502
    assert runtime.BROKEN in answer.text
    assert "context" not in answer.text


async def test_litellm_takes_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "aclient_session", None)
    transport = RuntimeTransport()
    transport.install()
    assert litellm.aclient_session._transport is transport
    calls: list[dict[str, Any]] = [{"model": "ollama_chat/m"}, {"model": "m", "custom_llm_provider": "ollama_chat"}]
    for call in calls:
        transport.give_client(call)
        assert call["client"].client._transport is transport
    other = {"model": "openai/m"}
    transport.give_client(other)
    assert "client" not in other


async def test_the_watch_asks_nothing_of_a_runtime_that_answers_in_time() -> None:
    asked: list[httpx.Request] = []
    questions = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(200))
    )  # type: ignore[func-returns-value]
    watch = runtime._Watch(SimpleNamespace(), questions, QUIET)  # type: ignore[arg-type]
    for _ in range(10):
        await watch.wait(asyncio.sleep(QUIET / 5))
    watch.stop()
    assert asked == []
