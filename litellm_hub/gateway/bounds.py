"""How much a request may bring: one table of bounds, and the checks that hold for every path of the gateway.

All of it happens before the key is looked at, so the checks ask nobody and cost little: a body that cannot break a
bound by its length alone is not walked through.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson


class Bound(NamedTuple):
    """The most of something that a request may bring.

    Attributes:
        what: What is counted, as the documentation and the refusals name it.
        most: The largest number that is taken.
        unit: What `most` counts.
    """

    what: str
    most: int
    unit: str


BODY = Bound("body", 16 * 1024 * 1024, "bytes")
FORM = Bound("body of an HTML form", 64 * 1024, "bytes")
HEADERS = Bound("all headers together", 16 * 1024, "bytes")
QUERY = Bound("query string", 8 * 1024, "bytes")
CONTAINERS = Bound("objects and lists in the body", 50_000, "items")
VALUES = Bound("values in the body", 250_000, "items")
DEPTH = Bound("nesting of the body", 64, "levels")
ID = Bound("model, user, session, trace and other ids", 256, "characters")
AGENT = Bound("user agent", 512, "characters")
TAGS = Bound("tags of a request", 32, "items")
TAG = Bound("a tag", 128, "characters")
METADATA = Bound("metadata", 16 * 1024, "bytes of JSON")
METADATA_DEPTH = Bound("nesting of metadata", 8, "levels")
METADATA_KEY = Bound("a key of metadata", 128, "characters")
MESSAGES = Bound("messages or items of input", 2_000, "items")
INPUTS = Bound("inputs to embed", 2_048, "items")
TOOLS = Bound("tools or functions", 128, "items")
TABLE = (
    *(BODY, FORM, HEADERS, QUERY, CONTAINERS, VALUES, DEPTH, ID, AGENT),
    *(TAGS, TAG, METADATA, METADATA_DEPTH, METADATA_KEY, MESSAGES, INPUTS, TOOLS),
)

# Fields of a body or of its metadata that LiteLLM takes for an id or copies into a row as one.
IDS = frozenset(
    {
        *("model", "user", "user_id", "end_user", "end_user_id", "session_id", "trace_id", "id", "agent_id"),
        *("litellm_session_id", "litellm_trace_id", "litellm_call_id", "previous_response_id"),
        *("safety_identifier", "prompt_cache_key", "conversation", "trace_name", "trace_user_id"),
    }
)
# Headers that LiteLLM copies into rows: its own, and any vendor's session id.
_ID_HEADERS = frozenset(
    {
        *(b"x-litellm-call-id", b"x-litellm-trace-id", b"x-litellm-session-id", b"x-litellm-agent-id"),
        *(b"x-litellm-customer-id", b"x-litellm-end-user-id", b"x-litellm-model"),
        *(b"session-id", b"session_id", b"thread-id", b"conversation_id", b"traceparent"),
    }
)
_METADATA = ("metadata", "litellm_metadata")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NUL = "\0"
# Possessive, and an open string ends with the body: the time is linear whatever the body holds.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)', re.DOTALL)


class RefusedError(Exception):
    """A request that is not taken.

    Attributes:
        message: The reason in words, without anything secret.
        param: Name of the field, header or query parameter at fault; None for the request as a whole.
        code: A short name of the reason for programs.
        status: The HTTP status.
    """

    def __init__(self, message: str, param: str | None, code: str = "invalid_value", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


def over(bound: Bound, param: str | None, status: int = 400) -> RefusedError:
    """Return the refusal of `param` for being over `bound`."""
    message = f"`{param}` is over the hub's limit: {bound.what}, at most {bound.most} {bound.unit}."
    return RefusedError(message, param, "over_limit", status)


def parsed(body: bytes) -> dict[str, Any]:
    """Return the body as LiteLLM will read it.

    Args:
        body: JSON, whatever the content type says.

    Raises:
        RefusedError: For anything but one JSON object in UTF-8 within the bounds on size and structure.
    """
    if len(body) > BODY.most:
        raise over(BODY, "body", 413)
    opened = _check_structure(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = str(error)
        if "depth limit" in reason:
            raise over(DEPTH, "body") from None
        if "not valid UTF-8" in reason:
            raise RefusedError("The body is not valid UTF-8.", "body", "invalid_utf8") from None
        reason = "it is empty" if not body.strip() else reason
        raise RefusedError(f"The body is not valid JSON: {reason}.", "body", "invalid_json") from None
    if not isinstance(value, dict):
        raise RefusedError(f"The body must be a JSON object, not {kind(value)}.", "body", "invalid_json")
    if opened > DEPTH.most:
        _check_depth(value, DEPTH, "body")
    return value


def kind(value: object) -> str:
    """Return what a JSON value is, in words with an article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def check_body(body: Mapping[str, Any], size: int, header_tags: int = 0) -> None:
    """Check what any path of the gateway may be given.

    Args:
        body: The parsed body.
        size: Its length in bytes as it came.
        header_tags: How many tags the headers bring.

    Raises:
        RefusedError: For the first bound that is broken.
    """
    _check_ids(body, "")
    tags = header_tags + _check_tags(body.get("tags"), "tags")
    for name in _METADATA:
        metadata = body.get(name)
        if isinstance(metadata, str):  # LiteLLM reads JSON inside a string as well
            metadata = _parsed_metadata(metadata, name)
        if isinstance(metadata, dict) and metadata:
            tags += _check_metadata(metadata, name, size)
    if tags > TAGS.most:
        raise over(TAGS, "tags")


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Check the headers of a request to any path.

    Args:
        headers: Names in lower case, and values.

    Returns:
        How many tags they bring.

    Raises:
        RefusedError: For the first bound that is broken.
    """
    size = tags = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name in _ID_HEADERS or name.endswith(b"-session-id"):
            _check_text(value.decode("latin-1"), name.decode("latin-1"), ID)
        elif name == b"user-agent":
            _check_text(value.decode("latin-1"), "user-agent", AGENT)
        elif name == b"x-litellm-tags":
            tags += _check_tags(value.decode("latin-1").split(","), "x-litellm-tags")
        elif name == b"baggage":
            for member in value.decode("latin-1").split(","):
                _check_text(member.partition("=")[2] if "session.id" in member else "", "baggage", ID)
    if size > HEADERS.most:
        raise over(HEADERS, "headers", 431)
    return tags


def check_query(query: bytes) -> None:
    """Check a query string, still encoded, or the body of an HTML form, which is written alike.

    Raises:
        RefusedError: When it is too long or brings a NUL character, which no column of the database takes.
    """
    if len(query) > QUERY.most:
        raise over(QUERY, "query", 414)
    check_no_nul(query, "query")


def check_no_nul(encoded: bytes, param: str) -> None:
    """Refuse a NUL character in a path, query string or form that is still encoded."""
    if b"%00" in encoded or b"\0" in encoded:
        raise RefusedError(f"`{param}` must not contain the NUL character.", param)


def check_count(items: Sequence[object], bound: Bound, param: str) -> None:
    """Refuse more `items` than `bound` says."""
    if len(items) > bound.most:
        raise over(bound, param)


def _check_structure(body: bytes) -> int:
    """Refuse a body of so many values that parsing it would hold up everybody.

    Returns:
        How many objects and lists it has at most: what stands in texts is counted as well.
    """
    opened = body.count(b"[") + body.count(b"{")
    # With fewer bytes there cannot be so many.
    if opened > CONTAINERS.most or (len(body) > VALUES.most and _commas(body) > VALUES.most):
        bare = _STRINGS.sub(b"", body)
        if bare.count(b"[") + bare.count(b"{") > CONTAINERS.most:
            raise over(CONTAINERS, "body")
        if _commas(bare) > VALUES.most:
            raise over(VALUES, "body")
    return opened


def _commas(text: bytes) -> int:
    return len(text) - len(text.translate(None, b","))  # several times as fast as `count` where there are many


def _check_depth(value: object, bound: Bound, param: str) -> None:
    level = [value]
    for _ in range(bound.most):
        level = [item for container in level for item in _items(container) if type(item) in (dict, list)]
        if not level:
            return
    raise over(bound, param)


def _items(container: Any) -> Iterable[object]:
    return container.values() if type(container) is dict else container


def _check_ids(fields: Mapping[str, Any], within: str) -> None:
    for name in IDS & fields.keys():
        value, param = fields[name], f"{within}{name}"
        if isinstance(value, str):
            _check_text(value, param, ID)
        elif name.startswith("litellm_") and value is not None:
            raise RefusedError(f"`{param}` must be a string, not {kind(value)}.", param, "invalid_type")
        elif isinstance(value, dict):  # a conversation as an object, Anthropic's user_id
            for text in _texts(value, param):
                _check_text(text, param, ID)
            _check_size(value, param)


def _check_size(value: object, param: str) -> None:
    if len(orjson.dumps(value)) > METADATA.most:
        raise over(METADATA, param)


def _check_tags(tags: object, param: str) -> int:
    """Check each tag, and return their number."""
    if tags is None:
        return 0
    if not isinstance(tags, list):
        raise RefusedError(f"`{param}` must be a list of strings, not {kind(tags)}.", param, "invalid_type")
    check_count(tags, TAGS, param)
    for tag in tags:
        if not isinstance(tag, str):
            raise RefusedError(f"`{param}` must hold strings only, not {kind(tag)}.", param, "invalid_type")
        _check_text(tag, param, TAG)
    return len(tags)


def _parsed_metadata(text: str, param: str) -> object:
    if len(text) > METADATA.most:
        raise over(METADATA, param)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _check_metadata(metadata: dict[str, Any], param: str, size: int) -> int:
    """Check one of a body's two metadata, and return the number of tags in it."""
    _check_depth(metadata, METADATA_DEPTH, param)
    _check_ids(metadata, f"{param}.")
    tags = _check_tags(metadata.get("tags"), f"{param}.tags")
    if size > METADATA.most:
        _check_size(metadata, param)
    for text in _texts(metadata, param):
        if _NUL in text:
            raise RefusedError(f"`{param}` must not contain the NUL character.", param)
    return tags


def _texts(value: object, param: str) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, param)
    elif isinstance(value, dict):
        for name, item in value.items():
            if len(name) > METADATA_KEY.most:
                raise over(METADATA_KEY, param)
            yield name
            yield from _texts(item, param)


def _check_text(text: str, param: str, bound: Bound) -> None:
    if len(text) > bound.most:
        raise over(bound, param)
    if _CONTROLS.search(text):
        raise RefusedError(f"`{param}` must not contain control characters.", param)
