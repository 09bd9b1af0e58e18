"""The gateway's door: an ASGI middleware around LiteLLM's app that refuses in words what must not come in.

A body is read once, checked and handed on byte for byte; answers pass through as they come. What is refused here was
never seen by LiteLLM: it has no row and costs nothing.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from litellm_hub.gateway import admission, bounds, model_notes, readiness
from litellm_hub.gateway.bounds import RefusedError
from litellm_hub.gateway.parameters import CALLS, Call
from litellm_hub.gateway.wrong_keys import WrongKeys

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Seconds in which a body must have come.
BODY_TIME_S = 120.0
# HTML forms that the Admin UI sends; everything else speaks JSON.
_FORMS = ("/login", "/sso/", "/upload/")
_URLENCODED, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# What the five calls may be asked in their URLs: Anthropic's clients send it.
_QUERY = frozenset({b"", b"beta=true"})
# LiteLLM's headers that label a request; its others steer it.
_LABELS = frozenset({"call-id", "trace-id", "session-id", "customer-id", "end-user-id", "tags", "api-key"})
_STEERING = ("x-litellm-", "litellm-", "litellm_", "x-mcp-")
# A browser sends it with every reload; LiteLLM reads a price of caching out of it and fails on some values.
_DROPPED = b"cache-control"
_CALL_ID = b"x-litellm-call-id"


# What is done after the last answer, in this order: the server ends by a signal, so nothing comes later.
ENDINGS: list[Callable[[], None]] = []


class _GoneError(Exception):
    """The client left before its request was whole."""


class Entry:
    """The middleware."""

    def __init__(self, app: App, closed: Iterable[str] = (), origins: Collection[str] = ()) -> None:
        """Take what the gateway's start knows.

        Args:
            app: LiteLLM's application.
            closed: First parts of paths that nobody may call, such as "/openai": LiteLLM's ways past its accounting.
            origins: Web origins whose pages may read the refusals.
        """
        self._app = app
        self._closed = frozenset(closed)
        self._origins = frozenset(origin.encode() for origin in origins)
        self._wrong_keys = WrongKeys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request, as ASGI wants it."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "The hub has no web sockets."})
            return
        if scope["type"] != "http":  # the lifespan
            await self._app(scope, receive, _with_endings(send))
            return
        call = CALLS.get(scope["path"]) if scope["method"] == "POST" else None
        try:
            body = await self._admitted(scope, receive, call)
        except _GoneError:
            return
        except RefusedError as refusal:
            await self._refuse(refusal, scope, send, call)
            return
        if scope["method"] == "GET" and scope["path"] in _EXTENDED:
            send = _with_lab(send, _EXTENDED[scope["path"]], dict(scope["headers"]))
            # Nothing can be added to an answer that LiteLLM has packed.
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"accept-encoding"]
        inner = receive if body is None else _replay(body, receive)
        call_id = dict(scope["headers"]).get(_CALL_ID, b"").decode("latin-1")
        with admission.visit(call_id, lambda: _left(receive)):
            await self._app(scope, inner, self._watched(scope, send))

    async def _admitted(self, scope: Scope, receive: Receive, call: Call | None) -> bytes | None:
        """Check the request, and return its body; None when it announces none."""
        path: str = scope["path"]
        to_google = scope["method"] == "POST" and path.startswith("/models/")
        # LiteLLM opens what lies below an allowed path too: more ways to call a model.
        below = path.startswith(("/responses/", "/v1/responses/"))
        if to_google or below or path[: path.find("/", 1) if "/" in path[1:] else None] in self._closed:
            reason = "This path is closed: the hub answers on /v1/chat/completions, /v1/completions, /v1/responses, "
            raise RefusedError(f"{reason}/v1/messages and /v1/embeddings.", None, "path_closed", 404)
        bounds.check_query(scope["query_string"])
        bounds.check_no_nul(scope.get("raw_path") or b"", "path")
        tags = bounds.check_headers(scope["headers"])
        if call is not None:
            _check_steering(scope)
            scope["headers"] = [header for header in scope["headers"] if header[0] != _DROPPED]
        headers = dict(scope["headers"])
        if call is None and b"content-length" not in headers and b"transfer-encoding" not in headers:
            return None
        body = await _read(receive, headers.get(b"content-length", b""))
        media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        if media_type in (_URLENCODED, _MULTIPART):
            _check_form(path, media_type, body)
        elif body or call is not None:
            parsed = bounds.parsed(body)
            bounds.check_body(parsed, len(body), tags)
            if call is not None:
                call.check(parsed)
        return body

    async def _refuse(self, refusal: RefusedError, scope: Scope, send: Send, call: Call | None) -> None:
        error = {
            "message": refusal.message,
            "type": "invalid_request_error",
            "param": refusal.param,
            "code": refusal.code,
        }
        told = {"type": "error", "error": error} if call and call.style == "anthropic" else {"error": error}
        headers = [*_JSON]
        for name, value in scope["headers"]:
            if name == b"origin" and value in self._origins:
                headers += [(b"access-control-allow-origin", value), (b"vary", b"Origin")]
        await _answer(send, refusal.status, headers, orjson.dumps(told))

    def _watched(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that counts refused keys, and answers them in a word above the rate."""
        held: Message | None = None
        muted = False

        async def watched(message: Message) -> None:
            nonlocal held, muted
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.UNAUTHORIZED:
                held = message
                return
            if held is not None:
                start, held = held, None
                client = scope.get("client")
                wait = self._wrong_keys.count(client[0] if client else "", message.get("body", b""))
                if wait:
                    muted = True
                    await _answer(
                        send, HTTPStatus.TOO_MANY_REQUESTS, [*_JSON, (b"retry-after", b"%d" % wait)], _TOO_MANY
                    )
                else:
                    await send(start)
            if not muted:
                await send(message)

        return watched


_JSON = ((b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"))
_TOO_MANY = orjson.dumps(
    {"error": {"message": "Too many wrong keys.", "type": "rate_limit_error", "param": None, "code": "wrong_keys"}}
)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _check_steering(scope: Scope) -> None:
    """Refuse what would steer LiteLLM past the body: headers and query parameters."""
    if scope["query_string"] not in _QUERY:
        name = scope["query_string"].partition(b"=")[0][:64].decode("latin-1")
        raise RefusedError(f"Unknown query parameter `{name}`: the hub does not take it.", name, "unknown_parameter")
    for raw_name, _ in scope["headers"]:
        name = raw_name.decode("latin-1")
        if name.startswith(_STEERING) and name.removeprefix("x-litellm-") not in _LABELS:
            raise RefusedError(f"Unknown header `{name[:64]}`: the hub does not take it.", name[:64], "unknown_header")


def _check_form(path: str, media_type: str, body: bytes) -> None:
    if not path.startswith(_FORMS):
        raise RefusedError(
            f"The body must be JSON, sent as `Content-Type: application/json`, not {media_type}.",
            "body",
            "invalid_json",
            415,
        )
    if media_type == _URLENCODED:
        if len(body) > bounds.FORM.most:
            raise bounds.over(bounds.FORM, "body", 413)
        bounds.check_no_nul(body, "body")


async def _read(receive: Receive, announced: bytes) -> bytes:
    """Read a body, not further than its bound.

    Raises:
        RefusedError: When it is too long, or does not come.
        _GoneError: When the client leaves.
    """
    if announced.isdigit() and int(announced[:20]) > bounds.BODY.most:
        raise bounds.over(bounds.BODY, "body", 413)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIME_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneError
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > bounds.BODY.most:
                    raise bounds.over(bounds.BODY, "body", 413)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        raise RefusedError("The body did not come in time.", "body", "timeout", 408) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands the body over in one piece, then what really comes: that the client left."""
    waiting = True

    async def replayed() -> Message:
        nonlocal waiting
        if waiting:
            waiting = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed


async def _left(receive: Receive) -> None:
    """Return when the client has left; its body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _with_endings(send: Send) -> Send:
    """Return a `send` of the lifespan that ends what the lab has begun before the server hears of the end."""

    async def ending(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            for end in ENDINGS:
                await asyncio.to_thread(end)
        await send(message)

    return ending


# What the lab adds to LiteLLM's answers in JSON, by path, from the answer and the request's headers; None adds nothing.
_Added = Callable[[Any, Mapping[bytes, bytes]], Awaitable[object]]
_EXTENDED: dict[str, _Added] = {
    readiness.PATH: readiness.added,
    model_notes.PATH: model_notes.noted,
}


def _with_lab(send: Send, added: _Added, asked: Mapping[bytes, bytes]) -> Send:
    """Return a `send` that adds the lab's fields to an answer in JSON."""
    start: Message = {}
    pieces: list[bytes] = []

    async def extended(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            body = b"".join(pieces)
            with contextlib.suppress(orjson.JSONDecodeError):
                answer = orjson.loads(body)
                if (lab := await added(answer, asked)) is not None:
                    body = orjson.dumps({**answer, "lab": lab})
            headers = [header for header in start["headers"] if header[0].lower() != b"content-length"]
            await _answer(send, start["status"], headers, body)

    return extended
