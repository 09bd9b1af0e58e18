from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.gateway import admission, bounds, entry, model_notes, readiness, wrong_keys
from litellm_hub.gateway.entry import Entry
from litellm_hub.gateway.fair_queue import FairQueue

CHAT = "/v1/chat/completions"
RIGHT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
WRONG_KEY = b'{"error":{"message":"Authentication Error, Invalid proxy server token passed."}}'


class App:
    """An application that notes what reaches it and answers as it is told."""

    def __init__(self, status: int = 200, pieces: Sequence[bytes] = (b"{}",)) -> None:
        self.bodies: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}
        self.status = status
        self.pieces = pieces
        self.left = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self.bodies.append(b"lifespan")
            return
        self.headers = dict(scope["headers"])
        message = await receive()
        self.bodies.append(message["body"])
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"2")]})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self.left = (await receive())["type"] == "http.disconnect"


class Answer:
    """What a client got."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self.messages = messages
        self.status: int = messages[0]["status"] if messages else 0
        self.headers = dict(messages[0]["headers"]) if messages else {}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def ask(
    middleware: Entry,
    body: bytes | Sequence[bytes] = RIGHT,
    path: str = CHAT,
    method: str = "POST",
    query: bytes = b"",
    address: str = "127.0.0.1",
    announced: bool = True,
    **headers: str,
) -> Answer:
    pieces = [body] if isinstance(body, bytes) else list(body)
    waiting = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    sent: list[Mapping[str, Any]] = []
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    if announced and any(pieces):
        raw.append((b"content-length", str(sum(map(len, pieces))).encode()))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": raw,
        "client": (address, 5),
    }

    async def receive() -> Mapping[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        await middleware(scope, receive, send)

    asyncio.run(run())
    return Answer(sent)


JSON_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 2**53),
        "stop": JSON_TEXTS | st.lists(JSON_TEXTS, max_size=4),
        "stream": st.booleans(),
        "user": st.text("abc-ä中", max_size=256),
        "metadata": st.dictionaries(st.text("abc", min_size=1, max_size=20), st.text("xyz\n", max_size=99), max_size=9),
        "tags": st.lists(st.text("abcü", max_size=128), max_size=32),
        "response_format": st.just({"type": "json_object"}),
        "top_k": st.integers(0, 100),
    },
)


@given(
    settings=SETTINGS,
    content=JSON_TEXTS,
    spaced=st.booleans(),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 200), max_size=4),
    media_type=st.sampled_from(["application/json", "text/plain", "", "application/octet-stream"]),
)
def test_a_body_within_the_bounds_passes_byte_for_byte(
    settings: dict[str, Any], content: str, spaced: bool, ascii_only: bool, cuts: list[int], media_type: str
):
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **settings}
    sent = json.dumps(body, indent=1 if spaced else None, ensure_ascii=ascii_only).encode()
    places = sorted({0, *(cut for cut in cuts if cut < len(sent)), len(sent)})
    app = App()
    answer = ask(Entry(app), [sent[a:b] for a, b in pairwise(places)], content_type=media_type)
    assert answer.status == 200, answer.body
    assert app.bodies == [sent]


def test_an_answer_passes_piece_by_piece_and_a_client_that_leaves_is_seen():
    app = App(pieces=[b"data: 1\n\n", b"data: 2\n\n"])
    answer = ask(Entry(app))
    assert [message.get("body") for message in answer.messages] == [None, b"data: 1\n\n", b"data: 2\n\n", b""]
    assert app.left


def test_a_client_that_leaves_in_its_body_reaches_nobody():
    app = App()
    middleware = Entry(app)

    async def run() -> None:
        waiting = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Mapping[str, Any]:
            return waiting.pop(0)

        async def send(message: Mapping[str, Any]) -> None:
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": CHAT, "query_string": b"", "headers": []}
        await middleware(scope, receive, send)

    asyncio.run(run())
    assert app.bodies == []


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(entry, "BODY_TIME_S", 0.01)
    sent: list[Any] = []

    async def run() -> None:
        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": CHAT, "query_string": b"", "headers": []}
        await Entry(App())(scope, asyncio.get_running_loop().create_future, send)

    asyncio.run(run())
    assert Answer(sent).status == 408


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", [CHAT, "/key/generate", "/anything"])
def test_a_body_over_the_bound_is_refused_without_reading_on(path: str, announced: bool):
    app = App()
    pieces = [b" " * (1024 * 1024)] * 17
    answer = ask(Entry(app), pieces, path=path, announced=announced, transfer_encoding="chunked")
    assert (answer.status, answer.error["param"]) == (413, "body")
    assert str(bounds.BODY.most) in answer.error["message"]
    assert app.bodies == []


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/key/generate", "/v1/audio/speech", "/none"])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-protobuf", ""])
def test_the_bounds_hold_for_every_path_method_and_media_type(path: str, method: str, media_type: str):
    app = App()
    body = json.dumps({"litellm_session_id": "x" * 300}).encode()
    answer = ask(Entry(app), body, path=path, method=method, content_type=media_type)
    assert answer.status == 400
    assert answer.error["param"] == "litellm_session_id"
    assert answer.error["type"] == "invalid_request_error"
    assert app.bodies == []


def test_errors_have_the_form_that_the_callers_client_reads():
    assert json.loads(ask(Entry(App()), b"[]").body).keys() == {"error"}
    assert json.loads(ask(Entry(App()), b"[]", path="/v1/messages").body)["type"] == "error"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_are_taken_where_the_admin_ui_sends_them_only(media_type: str):
    assert ask(Entry(App()), RIGHT, content_type=media_type).status == 415
    assert ask(Entry(App()), b"username=a", path="/login", content_type=media_type).status == 200


def test_a_form_is_bounded():
    kind = "application/x-www-form-urlencoded"
    assert ask(Entry(App()), b"a=" + b"x" * 70_000, path="/login", content_type=kind).status == 413
    assert ask(Entry(App()), b"username=%00", path="/login", content_type=kind).status == 400


def test_a_request_without_a_body_passes_unread():
    app = App()
    assert ask(Entry(app), b"", path="/ui/", method="GET").status == 200
    assert ask(Entry(app), b"", path="/ui/", method="GET", user_agent="x" * 600).status == 400


@pytest.mark.parametrize("path", [CHAT, "/chat/completions", "/v1/messages"])
def test_headers_that_steer_litellm_are_refused_by_name(path: str):
    for name in ("x-litellm-timeout", "x-litellm-num-retries", "x-litellm-spend-logs-metadata", "x-mcp-auth"):
        answer = ask(Entry(App()), path=path, **{name: "1"})
        assert (answer.status, answer.error["param"]) == (400, name)
    taken = {"x-litellm-call-id": "a", "x-litellm-tags": "a,b", "x-litellm-session-id": "s", "anthropic-beta": "x"}
    app = App()
    assert ask(Entry(app), path=path, **taken, cache_control="a=b=c").status == 200
    assert b"cache-control" not in app.headers


def test_query_parameters_that_steer_are_refused_by_name():
    assert ask(Entry(App()), query=b"beta=true").status == 200
    answer = ask(Entry(App()), query=b"custom_llm_provider=x")
    assert (answer.status, answer.error["param"]) == (400, "custom_llm_provider")


def test_closed_paths_and_web_sockets_are_refused():
    app = App()
    middleware = Entry(app, closed=["/openai", "/engines"])
    for path in ("/openai", "/openai/v1/chat/completions", "/engines/m/completions", "/models/m:generateContent"):
        assert ask(middleware, path=path).status == 404
    assert ask(middleware, path="/openai_is_another").status == 200
    sent: list[Any] = []

    async def run() -> None:
        async def receive() -> Mapping[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await middleware({"type": "websocket", "path": "/v1/realtime"}, receive, send)
        await middleware({"type": "lifespan"}, receive, send)

    asyncio.run(run())
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert app.bodies == [RIGHT, b"lifespan"]


def test_a_page_reads_a_refusal_from_a_named_origin_only():
    middleware = Entry(App(), origins=["https://lab.example"])
    named = ask(middleware, b"[]", origin="https://lab.example").headers
    assert named[b"access-control-allow-origin"] == b"https://lab.example"
    assert b"access-control-allow-origin" not in ask(middleware, b"[]", origin="https://evil.example").headers


def test_wrong_keys_above_the_rate_are_answered_shortly_and_right_keys_are_not_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wrong_keys, "_WINDOW_S", 0.2)
    counter = wrong_keys.WrongKeys()

    async def run() -> None:
        waits = [counter.count("10.0.0.1", WRONG_KEY) for _ in range(1_000)]
        assert waits[: wrong_keys.MOST_A_MINUTE] == [0] * wrong_keys.MOST_A_MINUTE
        assert all(waits[wrong_keys.MOST_A_MINUTE :])
        assert counter.count("10.0.0.2", WRONG_KEY) == 0
        assert [counter.count("10.0.0.3", b'{"error":{"type":"auth_error"}}') for _ in range(100)] == [0] * 100
        await asyncio.wait_for(ended.wait(), 5)
        assert counter.count("10.0.0.1", WRONG_KEY) == 0

    ended = asyncio.Event()
    monkeypatch.setattr(wrong_keys.log, "warning", lambda *words: (said.append(words), ended.set()))
    said: list[Any] = []
    asyncio.run(run())
    [(words, total, addresses)] = said
    assert words % (total, addresses) == "1001 requests with wrong keys from 2 addresses in the last minute"


def test_litellms_line_for_each_wrong_key_is_kept_out_of_the_log():
    def line(module: str, message: str) -> logging.LogRecord:
        return logging.LogRecord("LiteLLM Proxy", logging.ERROR, f"/x/{module}.py", 1, "%s", (message,), None)

    wrong = "Authentication Error, Invalid proxy server token passed. key=89d8, not found in db."
    assert not wrong_keys.without_each(line("auth_exception_handler", wrong))
    assert wrong_keys.without_each(line("auth_exception_handler", "Expired Key"))
    assert wrong_keys.without_each(line("another", wrong))


def test_a_refused_key_gets_litellms_answer_below_the_rate_and_429_above(monkeypatch: pytest.MonkeyPatch):
    waits = [0, 7, 0]
    monkeypatch.setattr(wrong_keys.WrongKeys, "count", lambda self, address, answer: waits.pop(0))
    middleware = Entry(App(401, [WRONG_KEY]))
    below, above, again = ask(middleware), ask(middleware), ask(middleware)
    assert (below.status, below.body) == (401, WRONG_KEY)
    assert (above.status, above.headers[b"retry-after"]) == (429, b"7")
    assert above.error["code"] == "wrong_keys"
    assert again.status == 401


def test_readiness_shows_what_the_lab_adds_and_keeps_the_status(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readiness, "SOURCES", [lambda: {"backlog_seconds": 5}, lambda: {"litellm_tested": True}])
    answer = ask(Entry(App(503, [b'{"status":', b'"bad"}'])), b"", path="/health/readiness", method="GET")
    assert answer.status == 503
    assert json.loads(answer.body) == {"status": "bad", "lab": {"backlog_seconds": 5, "litellm_tested": True}}
    assert answer.headers[b"content-length"] == str(len(answer.body)).encode()


def test_the_labs_word_on_models_is_added_to_a_good_answer_alone(monkeypatch: pytest.MonkeyPatch):
    class Notes:
        async def of(self, body: Any, headers: Any) -> Any:
            return {"models": {}} if "data" in body else None

    monkeypatch.setattr(model_notes, "SOURCES", [Notes()])
    path = "/model_group/info"
    good = ask(Entry(App(200, [b'{"data": []}'])), b"", path=path, method="GET")
    assert json.loads(good.body) == {"data": [], "lab": {"models": {}}}
    for body in (b'{"error":{}}', b"Internal Server Error"):
        assert ask(Entry(App(500, [body])), b"", path=path, method="GET").body == body


@pytest.mark.parametrize(("path", "packs"), [("/model_group/info", False), (readiness.PATH, False), ("/models", True)])
def test_an_answer_that_is_added_to_is_not_asked_for_packed(path: str, packs: bool) -> None:
    app = App()
    ask(Entry(app), b"", path=path, method="GET", accept_encoding="gzip")
    assert (b"accept-encoding" in app.headers) == packs


@pytest.mark.anyio
async def test_what_the_lab_has_begun_ends_before_the_server_hears_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(entry, "ENDINGS", [lambda: order.append("writer"), lambda: order.append("journal")])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for name in ("startup", "shutdown"):
            await send({"type": f"lifespan.{name}.complete"})

    async def send(message: Any) -> None:
        order.append(message["type"])

    await Entry(app)({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
    assert order == ["lifespan.startup.complete", "writer", "journal", "lifespan.shutdown.complete"]


def test_a_slot_is_free_at_the_latest_when_the_request_has_ended() -> None:
    queue = FairQueue()
    visits = []

    async def app(*_: Any) -> None:
        found = admission.current()
        assert found is not None
        visits.append(found)
        found.ticket = queue.enter("key", {"a": 1})
        assert found.host == "a"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        ask(Entry(app), x_litellm_call_id="mine")
    assert visits[0].call_id == "mine"
    assert queue.enter("other", {"a": 1}).host == "a"
    assert admission.current() is None


def test_a_client_that_leaves_is_noticed_while_its_request_waits() -> None:
    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await receive()
        found = admission.current()
        assert found is not None
        queue = FairQueue()
        queue.enter("other", {"a": 1})
        with pytest.raises(admission.ClientLeftError):
            await found.served(queue.enter("key", {"a": 1}), "m", 60)
        await send({"type": "http.response.start", "status": 499, "headers": []})

    assert ask(Entry(app)).status == 499
