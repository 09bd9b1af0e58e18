"""What a caller may send on the five paths that make a model answer: an allow-list, with the type of each parameter.

The parameters are those of the methods of the packages that callers use, taken from their signatures. What steers
LiteLLM instead of the model (where it sends a request, what that costs, what is logged) is in none of them.
"""

import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from litellm.types.llms.anthropic import AnthropicMessagesRequest
from litellm.types.llms.openai import ValidUserMessageContentTypes
from litellm.types.utils import StandardLoggingMetadata
from openai import Omit
from openai.resources.chat.completions import Completions as Chat
from openai.resources.completions import Completions
from openai.resources.embeddings import Embeddings
from openai.resources.responses import Responses

from litellm_hub.gateway.bounds import INPUTS, MESSAGES, TOOLS, RefusedError, check_count, kind

Kinds = frozenset[type]
ANY: Kinds = frozenset({str, int, float, bool, list, dict})
_TEXT, _NUMBER, _COUNT, _FLAG = (frozenset(kinds) for kinds in ({str}, {int, float}, {int}, {bool}))
_OBJECT, _LIST = frozenset({dict}), frozenset({list})

_SHOWN = 64  # characters of a name that are repeated to the caller

# Arguments of the openai package's methods that are no parts of the body.
_TRANSPORT = frozenset({"extra_headers", "extra_query", "extra_body", "timeout", "return"})
# How LiteLLM's users name their sessions and tag their requests; `litellm_hub.gateway.bounds` says how much of it.
_LABELS: Mapping[str, Kinds] = {
    **dict.fromkeys(("metadata", "litellm_metadata"), _OBJECT),
    **dict.fromkeys(("litellm_session_id", "litellm_trace_id"), _TEXT),
    "tags": _LIST,
}
# How llama.cpp's server and Ollama sample, by their own names. Not those that concern other people's requests (slots,
# contexts, what stays loaded) or make several answers.
_SAMPLING: Mapping[str, Kinds] = {
    **dict.fromkeys(("top_k", "repeat_last_n", "dry_allowed_length", "dry_penalty_last_n"), _COUNT),
    **dict.fromkeys(("mirostat", "min_keep", "n_probs", "n_predict", "num_predict"), _COUNT),
    **dict.fromkeys(("min_p", "typical_p", "top_n_sigma", "tfs_z", "repeat_penalty"), _NUMBER),
    **dict.fromkeys(("xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent"), _NUMBER),
    **dict.fromkeys(("dry_multiplier", "dry_base", "mirostat_tau", "mirostat_eta"), _NUMBER),
    **dict.fromkeys(("ignore_eos", "cache_prompt", "timings_per_token"), _FLAG),
    **dict.fromkeys(("dry_sequence_breakers", "samplers"), _LIST),
    **dict.fromkeys(("json_schema", "chat_template_kwargs"), _OBJECT),
    **dict.fromkeys(("grammar", "reasoning_format"), _TEXT),
    "think": _FLAG | _TEXT,
}
# Parts of Anthropic's API by which a provider would reach other servers or keep files.
_NOT_OF_MESSAGES = frozenset({"mcp_servers", "container"})
# Names inside metadata that LiteLLM fills in itself and reads again for rows, prices and routing.
_LITELLMS_OWN = frozenset(StandardLoggingMetadata.__annotations__) | {
    *("model_info", "model_group", "deployment", "api_base", "caching_groups", "guardrails", "guardrail_config"),
    *("guardrail_information", "standard_logging_guardrail_information", "policies", "applied_policies"),
    *("disable_global_guardrails", "opted_out_global_guardrails", "callback_settings", "logging", "headers"),
    *("endpoint", "hidden_params", "cost_breakdown", "error_information", "status", "priority", "agent_id"),
    *("billing_agent_id", "additional_usage_values", "batch_models", "model_map_information", "mcp_session_id"),
    *("attempted_retries", "attempted_fallbacks", "max_retries", "previous_models", "request_retry_count"),
    *("original_model_group", "global_max_parallel_requests", "no-log", "cache", "proxy_server_request"),
    *("model_tpm_limit", "model_rpm_limit", "tag_rpm_limit", "autorouter_savings", "compression_savings"),
    *("inherited_tags", "caller_tags", "redis_namespace", "client_disconnected", "team_member_budget_id"),
}
_LITELLMS_PREFIXES = ("_", "user_api_", "litellm_", "pillar_")
_LABELS_INSIDE = frozenset({"tags", "session_id", "trace_id", "trace_name", "user", "user_id"})


def kinds_of(hint: Any) -> Kinds:
    """Return the JSON types that an annotation stands for; `ANY` where it says nothing that JSON knows."""
    if isinstance(hint, type) and hint in (Omit, type(None)):
        return frozenset()
    if isinstance(hint, type) and hint in ANY:
        return _NUMBER if hint is float else frozenset({hint})
    if typing.is_typeddict(hint) or "TypedDict" in type(hint).__name__:
        return _OBJECT
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return frozenset().union(*map(kinds_of, arguments))
    if origin is typing.Literal:
        return frozenset(map(type, arguments))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _OBJECT
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return _LIST
    return kinds_of(arguments[0]) if arguments else ANY


def _of(method: Any) -> Mapping[str, Kinds]:
    hints = typing.get_type_hints(method)
    return {name: kinds_of(hint) for name, hint in hints.items() if name not in _TRANSPORT}


@dataclass(frozen=True)
class Call:
    """One of the calls that make a model answer.

    Attributes:
        parameters: What may be sent, and the JSON types it may have; null may stand for each.
        required: The parameter that holds what is asked.
        check_asked: Checks its value, which is of an allowed type and not empty.
        style: Whose form the answers have: "openai" or "anthropic".
    """

    parameters: Mapping[str, Kinds]
    required: str
    check_asked: Callable[[Any], None]
    style: str = "openai"

    def check(self, body: Mapping[str, Any]) -> None:
        """Refuse what the call does not take.

        Raises:
            RefusedError: Names the parameter.
        """
        for name, value in body.items():
            kinds = self.parameters.get(name)
            if kinds is None:
                raise _unknown(name)
            if value is not None and type(value) not in kinds:
                raise RefusedError(f"`{name}` has the wrong type: {kind(value)}.", name, "invalid_type")
        _check_model(body.get("model"))
        _check_one_answer(body)
        asked = body.get(self.required)
        if not asked:
            raise RefusedError(f"`{self.required}` is missing or empty.", self.required, "missing_required_parameter")
        self.check_asked(asked)
        for name in ("tools", "functions"):
            check_count(body.get(name) or (), TOOLS, name)
            _check_objects(body.get(name) or (), name)
        for name in ("metadata", "litellm_metadata"):
            _check_names(body.get(name) or {}, name)


def _check_model(model: object) -> None:
    if not isinstance(model, str) or not model.strip():
        raise RefusedError("`model` is missing or empty.", "model", "missing_required_parameter")
    if "," in model:
        raise RefusedError("`model` must name one model: several answers to one request are not counted.", "model")


def _check_one_answer(body: Mapping[str, Any]) -> None:
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise RefusedError(f"`{name}` must be 1: the model reports the usage of one answer only.", name)
    if body.get("background"):
        raise RefusedError("`background` must be false: the hub answers while the caller waits.", "background")


def _check_objects(items: Iterable[object], param: str) -> None:
    for item in items:
        if not isinstance(item, dict):
            raise RefusedError(f"`{param}` must hold objects only, not {kind(item)}.", param, "invalid_type")


def _check_messages(messages: list[Any]) -> None:
    check_count(messages, MESSAGES, "messages")
    _check_objects(messages, "messages")
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not role:
            raise RefusedError("Each of `messages` needs a `role`, a string.", "messages")
        if isinstance(content, list):
            _check_objects(content, "messages")
            if not all(isinstance(part.get("type"), str) for part in content):
                raise RefusedError("Each part of the content of `messages` needs a `type`, a string.", "messages")
        elif not isinstance(content, str) and (content is not None or role not in _MAY_SAY_NOTHING):
            reason = f"The content of `messages` must be a text or a list of parts, not {kind(content)}."
            raise RefusedError(reason, "messages", "invalid_type")


def _check_chat(messages: list[Any]) -> None:
    _check_messages(messages)
    for message in messages:
        if message["role"] == "user" and isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] not in ValidUserMessageContentTypes:
                    raise RefusedError(f"`messages` cannot have parts of type `{part['type'][:_SHOWN]}`.", "messages")


# Roles whose messages may lack content: an assistant's that calls tools.
_MAY_SAY_NOTHING = ("assistant", "function")


def _check_input(value: Any) -> None:
    """Check the `input` of responses and of embeddings: texts, tokens, or items of a conversation."""
    if isinstance(value, str):
        return
    if _is_tokens(value):
        return
    check_count(value, MESSAGES if isinstance(value[0], dict) else INPUTS, "input")
    of_one_type = all(type(item) is type(value[0]) for item in value)
    if not of_one_type or not all(item if isinstance(item, str | dict) else _is_tokens(item) for item in value):
        raise RefusedError("`input` must be a text, tokens, a list of either, or the items of a conversation.", "input")
    for item in value:
        if isinstance(item, dict) and not all(isinstance(item.get(name, ""), str) for name in ("type", "role")):
            raise RefusedError("`type` and `role` of each item of `input` must be strings.", "input", "invalid_type")


def _check_prompt(prompt: Any) -> None:
    if isinstance(prompt, str) or _is_tokens(prompt):
        return
    if len(prompt) > 1:
        raise RefusedError("`prompt` must be one prompt: the model reports the usage of one answer only.", "prompt")
    if not isinstance(prompt[0], str) and not _is_tokens(prompt[0]):
        raise RefusedError("`prompt` must be a text or a list of tokens, which are whole numbers.", "prompt")


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _check_names(metadata: Mapping[str, object], param: str) -> None:
    """Refuse names inside metadata that have a meaning to LiteLLM other than labels."""
    for name in metadata:
        own = name in _LITELLMS_OWN or name.startswith(_LITELLMS_PREFIXES) or param == "litellm_metadata"
        if own and name not in _LABELS_INSIDE:
            raise _unknown(f"{param}.{name}")


def _unknown(name: str) -> RefusedError:
    name = name[:_SHOWN]
    return RefusedError(f"Unknown parameter `{name}`: the hub does not take it.", name, "unknown_parameter")


_CHAT = Call(_of(Chat.create) | _SAMPLING | _LABELS, "messages", _check_chat)
_COMPLETIONS = Call(_of(Completions.create) | _SAMPLING | _LABELS, "prompt", _check_prompt)
_EMBEDDINGS = Call(_of(Embeddings.create) | _LABELS, "input", _check_input)
_RESPONSES = Call(_of(Responses.create) | _LABELS, "input", _check_input)
_MESSAGES = Call(
    {name: kinds for name, kinds in _of(AnthropicMessagesRequest).items() if name not in _NOT_OF_MESSAGES} | _LABELS,
    "messages",
    _check_messages,
    "anthropic",
)
CALLS: Mapping[str, Call] = {
    **dict.fromkeys(("/v1/chat/completions", "/chat/completions"), _CHAT),
    **dict.fromkeys(("/v1/completions", "/completions"), _COMPLETIONS),
    **dict.fromkeys(("/v1/embeddings", "/embeddings"), _EMBEDDINGS),
    **dict.fromkeys(("/v1/responses", "/responses"), _RESPONSES),
    "/v1/messages": _MESSAGES,
}
