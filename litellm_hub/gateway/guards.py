"""Guards against answers that look whole and are not: to what a model cannot take, and cut in the middle."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import litellm
from litellm.exceptions import APIConnectionError

log = logging.getLogger("litellm_hub.guards")

PROVIDERS = frozenset({"openai", "text-completion-openai", "ollama_chat"})
_PROMPT_FIELDS = ("system", "instructions", "messages", "prompt", "input", "tools", "functions")
_MEDIA = frozenset(
    {
        *("image_url", "input_image", "image", "computer_screenshot", "video_url"),
        *("input_audio", "audio", "file", "input_file", "document"),
    }
)
_TOKENS_PER_MESSAGE = 4  # role and separators, as OpenAI's counting guide has it
_CUT_SHARE = 0.5


class RefusedError(Exception):
    """The model cannot take the request (HTTP 400); the message says why, without quoting the prompt.

    Attributes:
        code: The error's code for programs.
        param: The field of the request that is at fault.
    """

    code = "invalid_request"
    param = "messages"


class ContextLengthError(RefusedError):
    """The prompt does not fit the model's context."""

    code = "context_length_exceeded"


class ToolsUnsupportedError(RefusedError):
    """The request offers tools, and the model cannot call any."""

    code = "tools_unsupported"
    param = "tools"


class MediaUnsupportedError(RefusedError):
    """The request holds a picture, a sound or a file, and the model reads text alone."""

    code = "media_unsupported"


class CutAnswerError(APIConnectionError):
    """The runtime's answer ended before its end was announced."""


def widest_context(deployments: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the context in tokens of the deployment that takes the longest prompt; None when one states no limit.

    Args:
        deployments: Entries of the router's model list; `model_info` holds `max_input_tokens` (tokens per request).
    """
    contexts = [(deployment.get("model_info") or {}).get("max_input_tokens") for deployment in deployments]
    if not all(isinstance(context, int) for context in contexts):
        return None
    return max(contexts, default=None)


def check_abilities(
    data: Mapping[str, Any],
    deployments: Sequence[Mapping[str, Any]],
    catalogue: Callable[[], Sequence[Mapping[str, Any]]],
) -> None:
    """Refuse what no deployment of the model can do by the catalogue's word; where it says nothing, all passes.

    Args:
        data: The request's body, of any of the chat, completion, response or message calls.
        deployments: Entries of the router's model list for the model; `model_info` may hold `supports_function_calling`
            and `supports_vision`.
        catalogue: Returns the entries of all models, for the message.

    Raises:
        ToolsUnsupportedError: The request offers tools.
        MediaUnsupportedError: The request holds something else than text.
    """
    model = data.get("model")
    if _asks_for_tools(data) and _all_deny(deployments, "supports_function_calling"):
        able = sorted({str(item.get("model_name")) for item in catalogue() if _says(item, "supports_function_calling")})
        others = f"Models that can: {', '.join(able)}." if able else "No model of this lab can."
        raise ToolsUnsupportedError(f"The model '{model}' cannot call tools. {others}")
    if _all_deny(deployments, "supports_vision"):
        kinds = sorted({kind for name in _PROMPT_FIELDS for kind in _media(data.get(name))})
        if kinds:
            raise MediaUnsupportedError(
                f"The model '{model}' reads text alone; the request holds a part of type '{kinds[0]}'."
            )


async def check_prompt(data: Mapping[str, Any], context: int) -> int | None:
    """Refuse a prompt that is longer than `context`, before the runtime, which knows exactly, has to.

    Args:
        data: The request's body, of any of the chat, completion, response or message calls.
        context: The model's context in tokens per request.

    Returns:
        The tokens counted, or None when the prompt is short enough to need no counting.

    Raises:
        ContextLengthError: With the sizes, never with the prompt.
    """
    texts = list(_prompt_texts(data))
    # A token is a byte or more.
    if sum(len(text.encode(errors="replace")) for text in texts) + _extra_tokens(data) <= context:
        return None
    counted = await asyncio.to_thread(count_prompt, data)
    if counted <= context:
        return counted
    raise ContextLengthError(
        f"The prompt is too long for the model '{data.get('model')}': {counted} tokens by the gateway's count; "
        f"the model's context is {context} tokens per request. Shorten the prompt or the conversation."
    )


def count_prompt(data: Mapping[str, Any]) -> int:
    """Return the tokens of a request's prompt by the gateway's own count, which takes its time."""
    texts = "\n".join(_prompt_texts(data))
    return _extra_tokens(data) + int(litellm.token_counter(model="", text=texts))


def warn_if_prompt_was_cut(model: object, counted: int | None, reported: object) -> None:
    """Log a warning when the runtime read far fewer prompt tokens than the gateway counted."""
    if counted and isinstance(reported, int) and 0 < reported < counted * _CUT_SHARE:
        log.warning("Model '%s' read %d prompt tokens of about %d: was the prompt cut?", model, reported, counted)


def is_final(chunk: object) -> bool:
    """Tell whether a streamed chunk announces the end of the answer (or an error), in any of the APIs' forms."""
    if isinstance(chunk, bytes | bytearray):
        return any(mark in chunk for mark in (b"message_delta", b"message_stop", b"event: error", b"[DONE]"))
    if isinstance(chunk, str):
        return is_final(chunk.encode(errors="replace"))
    kind = _field(chunk, "type")
    if isinstance(kind, str) and kind in {
        *("response.completed", "response.incomplete", "response.failed", "error"),
        *("message_delta", "message_stop"),
    }:
        return True
    choices = _field(chunk, "choices")
    return isinstance(choices, list) and any(_field(choice, "finish_reason") for choice in choices)


def lacks_ending(original: object) -> bool:
    """Tell whether a runtime's own plain answer shows no end: no `finish_reason`, or Ollama's `done` not true.

    Args:
        original: What LiteLLM kept of the runtime's answer, a dict or JSON text; anything else passes.
    """
    if isinstance(original, str):
        try:
            original = json.loads(original)
        except ValueError:
            return False
    if not isinstance(original, Mapping):
        return False
    choices = original.get("choices")
    if isinstance(choices, list):
        return any(not _field(choice, "finish_reason") for choice in choices)
    return "done" in original and original["done"] is not True


def cut_answer(model: object, provider: object) -> CutAnswerError:
    """Return the error for an answer of `model` that ended before its end was announced."""
    return CutAnswerError(
        message="The model's runtime broke off in the middle of the answer.",
        llm_provider=str(provider or ""),
        model=str(model or ""),
    )


def _prompt_texts(data: Mapping[str, Any]) -> Iterator[str]:
    for name in _PROMPT_FIELDS:
        yield from _texts(data.get(name))


def _extra_tokens(data: Mapping[str, Any]) -> int:
    """Return what the prompt's structure adds to its texts: the messages' separators, and prompts given as tokens."""
    return sum(len(item) if _is_tokens(item) else _TOKENS_PER_MESSAGE for item in _items(data))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if value.get("type") not in _MEDIA:
            for item in value.values():
                yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _asks_for_tools(data: Mapping[str, Any]) -> bool:
    choice = data.get("tool_choice") or data.get("function_call")
    if isinstance(choice, Mapping) and choice.get("type") == "none":  # as Anthropic's API says it
        choice = "none"
    return choice != "none" and bool(choice or data.get("tools") or data.get("functions"))


def _media(value: object) -> Iterator[str]:
    """Yield the kinds of all parts of a prompt that are no text."""
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str) and kind in _MEDIA:
            yield kind
        else:
            for name in ("content", "output"):
                yield from _media(value.get(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _media(item)


def _says(deployment: Mapping[str, Any], ability: str) -> bool | None:
    said = (deployment.get("model_info") or {}).get(ability)
    return said if isinstance(said, bool) else None


def _all_deny(deployments: Sequence[Mapping[str, Any]], ability: str) -> bool:
    return bool(deployments) and all(_says(deployment, ability) is False for deployment in deployments)


def _items(data: Mapping[str, Any]) -> list[Any]:
    """Return messages, and prompts given as token numbers."""
    found: list[Any] = []
    for name in ("messages", "prompt", "input"):
        value = data.get(name)
        if isinstance(value, list):
            found += [value] if _is_tokens(value) else value
    return found


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int) for item in value)


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
