"""Tool calls that a model wrote as text, made real ones on their way from the runtime to LiteLLM.

Small models write their calls in other forms than their runtime looks for: Qwen2.5-Coder writes bare JSON, or a fence
of it, where llama.cpp and Ollama look for `<tool_call>`. Here, before LiteLLM reads the answer, one that is nothing but
calls of offered tools becomes tool calls, streamed or plain. It is held back only while its first characters may still
become one; any other answer passes byte for byte.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import orjson

LONGEST = 16_384  # characters that are held back
_TAGS = ("<tool_call>", "<tools>", "<tool>", "<function_call>")
_LANGUAGES = ("json", "xml", "python", "tool_call", "tool_code")
_OPENING = re.compile(rf"\s*(?:{'|'.join(_TAGS)}|```(?:{'|'.join(_LANGUAGES)})?(?=[\s{{\[]))")
_CLOSING = re.compile(r"\s*(?:</\w+>|```(?!\w)|[\],;])")
_CLOSING_BEGUN = re.compile(r"(?:</?\w*|`{0,2})")
_ARGUMENTS = ("arguments", "parameters")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Written:
    """A call that was written as text."""

    name: str
    arguments: dict[str, Any]


def may_become(text: str, names: Collection[str]) -> bool:
    """Whether a text is calls of tools with these names, or the beginning of such."""
    rest = _opened(text)
    openings = (*_TAGS, *(f"```{language}" for language in ("", *_LANGUAGES)))
    if any(opening.startswith(rest) for opening in openings):
        return True
    after = rest
    for sign in ("{", '"name"', ":"):
        if len(after) < len(sign):
            return sign.startswith(after)
        if not after.startswith(sign):
            return False
        after = after[len(sign) :].lstrip()
    values = [json.dumps(name) for name in names]
    if not any(after.startswith(value) for value in values):
        return any(value.startswith(after) for value in values)
    try:
        _, end = _DECODER.raw_decode(rest)
    except ValueError:
        return True  # the object is not whole
    after = _closed(rest[end:])
    return bool(_CLOSING_BEGUN.fullmatch(after)) or may_become(after, names)


def _opened(text: str) -> str:
    """What follows the tag, fence or bracket before a call."""
    while found := _OPENING.match(text):
        text = text[found.end() :]
    return text.lstrip().removeprefix("[").lstrip()


def _closed(text: str) -> str:
    """What follows the end of a call."""
    while found := _CLOSING.match(text):
        text = text[found.end() :]
    return text.strip()


def calls_in(text: str, names: Collection[str]) -> list[Written] | None:
    """Return the calls that a text consists of; None where it is, or may yet become, something else.

    Args:
        text: What a model wrote.
        names: The tools that were offered to it.
    """
    found: list[Written] = []
    rest = text.strip()
    while rest:
        rest = _opened(rest)
        try:
            value, end = _DECODER.raw_decode(rest)
        except ValueError:
            return None
        call = _call(value, names)
        if call is None:
            return None
        found.append(call)
        rest = _closed(rest[end:])
    return found or None


def _call(value: Any, names: Collection[str]) -> Written | None:
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = next((value[key] for key in _ARGUMENTS if key in value), {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    return Written(value["name"], arguments) if isinstance(arguments, dict) else None


class _Format(Protocol):
    """How a runtime's API says things: an answer, a line of a stream, and a tool call in both."""

    def text(self, said: Any) -> str | None:
        """The piece of the answer in a line; None in a line that holds something else which ends the text."""

    def ending(self, said: Any) -> str:
        """Why the answer ends with this line; empty where it does not."""

    def calling(self, said: Any, calls: list[Written]) -> Any:
        """The line with calls in place of its text."""

    def called(self, said: Any) -> Any:
        """The answer's last line after calls."""


class _OpenAI:
    """llama.cpp's /v1/chat/completions: https://platform.openai.com/docs/api-reference/chat-streaming."""

    def text(self, said: Any) -> str | None:
        parts = _part(said)
        return None if parts.get("tool_calls") else parts.get("content") or ""

    def ending(self, said: Any) -> str:
        return next(iter(said.get("choices") or ()), {}).get("finish_reason") or ""

    def calling(self, said: Any, calls: list[Written]) -> Any:
        made = [
            {
                "index": index,
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for index, call in enumerate(calls)
        ]
        choice = said["choices"][0]
        key = "delta" if "delta" in choice else "message"
        return {**said, "choices": [{**choice, key: {**choice[key], "content": None, "tool_calls": made}}]}

    def called(self, said: Any) -> Any:
        return {**said, "choices": [{**said["choices"][0], "finish_reason": "tool_calls"}]}


class _Ollama:
    """Ollama's /api/chat: https://docs.ollama.com/api/chat. LiteLLM takes the reason of the end from the calls."""

    def text(self, said: Any) -> str | None:
        message = said.get("message") or {}
        return None if message.get("tool_calls") else message.get("content") or ""

    def ending(self, said: Any) -> str:
        return said.get("done_reason") or "stop" if said.get("done") else ""

    def calling(self, said: Any, calls: list[Written]) -> Any:
        made = [
            {"id": f"call_{uuid.uuid4().hex[:24]}", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
        return {**said, "message": {**said["message"], "content": "", "tool_calls": made}}

    def called(self, said: Any) -> Any:
        return said


def _part(said: Any) -> dict[str, Any]:
    choice = next(iter(said.get("choices") or ()), {})
    part: dict[str, Any] = choice.get("delta") or choice.get("message") or {}
    return part


@dataclass(frozen=True)
class Recovery:
    """Makes calls of one answer's text.

    Attributes:
        names: The tools that were offered.
        format: How the runtime says things.
    """

    names: frozenset[str]
    format: _Format

    def plain(self, body: bytes) -> bytes:
        """Return a plain answer's body, with calls in place of a text that consists of them."""
        try:
            said = orjson.loads(body)
        except ValueError:
            return body
        text = self.format.text(said) if isinstance(said, dict) else None
        if not text or self.format.ending(said) != "stop":
            return body
        calls = calls_in(text, self.names)
        return orjson.dumps(self.format.called(self.format.calling(said, calls))) if calls else body

    async def streamed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a stream on; one whose text consists of calls has these instead."""
        lines = _Lines(self)
        async for chunk in chunks:
            if passed := lines.take(chunk):
                yield passed
        if left := lines.rest():
            yield left


class _Lines:
    """The lines of one stream: those that are held, and how to go on."""

    def __init__(self, recovery: Recovery) -> None:
        self._names = recovery.names
        self._format = recovery.format
        self._open = True  # whether the answer may still become calls
        self._partial = b""
        self._held: list[bytes] = []
        self._text = ""
        self._spoken: Any = None  # the first line with text

    def take(self, chunk: bytes) -> bytes:
        """Take bytes as they come, and return those that may go."""
        if not self._open:
            return chunk
        *whole, self._partial = (self._partial + chunk).split(b"\n")
        passed = b""
        for index, line in enumerate(whole):
            passed += self._line(line + b"\n")
            if not self._open:
                return passed + b"\n".join([*whole[index + 1 :], self.rest()])
        return passed

    def rest(self) -> bytes:
        """What is held when nothing follows."""
        left = b"".join(self._held) + self._partial
        self._held, self._partial = [], b""
        return left

    def _line(self, line: bytes) -> bytes:
        try:
            said = orjson.loads(line.removeprefix(b"data:"))
        except ValueError:  # a blank line, a comment, the end's mark
            said = {}
        piece = self._format.text(said) if isinstance(said, dict) else None
        reason = self._format.ending(said) if isinstance(said, dict) else ""
        if piece:
            self._spoken = self._spoken or said
            self._text += piece
        if piece is None or len(self._text) > LONGEST or (self._text and not may_become(self._text, self._names)):
            return self._release(line)
        if reason:
            calls = calls_in(self._text, self._names) if reason == "stop" else None
            if calls is None:
                return self._release(line)
            self._open, self._held = False, []
            prefix, end = (b"data: ", b"\n\n") if line.startswith(b"data:") else (b"", b"\n")
            made = orjson.dumps(self._format.calling(self._spoken, calls))
            return prefix + made + end + prefix + orjson.dumps(self._format.called(_silent(said))) + b"\n"
        if not self._text:
            return line
        self._held.append(line)
        return b""

    def _release(self, line: bytes) -> bytes:
        self._open = False
        held, self._held = b"".join(self._held), []
        return held + line


def _silent(said: Any) -> Any:
    """The last line without the text that may stand in it."""
    if "message" in said:
        return {**said, "message": {**said["message"], "content": ""}}
    return {**said, "choices": [{**said["choices"][0], "delta": {}}]}


class Recovered(httpx.AsyncByteStream):
    """An answer's body whose text may become calls."""

    def __init__(self, body: Any, recovery: Recovery) -> None:
        self._body = body
        self._recovery = recovery

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._recovery.streamed(aiter(self._body)):
            yield chunk

    async def aclose(self) -> None:
        """Close the runtime's answer."""
        await self._body.aclose()


def recovery_for(path: str, body: bytes) -> Recovery | None:
    """Return what is to be done with the answer to a request to a runtime; None where it offers no tools.

    Args:
        path: The request's path.
        body: Its body.
    """
    if b'"tools"' not in body:
        return None
    try:
        asked = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(asked, dict) or asked.get("tool_choice") == "none":
        return None
    named = ((tool or {}).get("function") or {} for tool in asked.get("tools") or () if isinstance(tool, dict))
    names = frozenset(function["name"] for function in named if isinstance(function.get("name"), str))
    wire: _Format = _Ollama() if path.endswith("/api/chat") else _OpenAI()
    return Recovery(names, wire) if names else None
