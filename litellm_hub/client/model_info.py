"""What the hub says about its models, read from LiteLLM's `/model_group/info`.

That joins the deployments of a model, and, unlike `/model/info`, says nothing of where the runtime is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from litellm_hub.client.errors import BadAnswer


class Memory(StrEnum):
    """Whether the runtime has a model in its memory."""

    READY = "ready"
    ASLEEP = "asleep"  # the next request loads it
    LOADING = "loading"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the hub says about a model; None where it does not say.

    Attributes:
        context: Longest prompt, in tokens.
        input_cost: Price of a token read, in the hub's currency (US dollars by default).
        output_cost: Price of a token written.
        tools: Whether it calls tools.
        size: Its parameters, such as "1.5B".
        about: What it is for, in a word or two.
        memory: Whether it is in the runtime's memory, at the time of the answer.
    """

    context: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None
    tools: bool | None = None
    size: str | None = None
    about: str | None = None
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """What holds an answer up that has not begun.

    Attributes:
        place: Its place in the hub's queue, 1 for the next; None if it does not wait there.
        memory: Whether its model is in the runtime's memory; None where the hub does not say.
    """

    place: int | None = None
    memory: Memory | None = None


def delay(body: Mapping[str, Any], model: str) -> Delay:
    """Return what the answer's `body` says about a request for `model` that the question named.

    Raises:
        BadAnswer: It has not LiteLLM's form.
    """
    memory = model_info(body).get(model, ModelInfo()).memory
    place = amount((body.get("lab") or {}).get("place"))
    return Delay(None if place is None else int(place), memory)


def model_info(body: Mapping[str, Any]) -> dict[str, ModelInfo]:
    """Return what the answer's `body` says about each model, by name.

    Raises:
        BadAnswer: It has not LiteLLM's form.
    """
    try:
        lab = body.get("lab")  # what the lab's hub adds; another hub has no such word
        notes = None if lab is None else lab["models"]
        return {str(entry["model_group"]): _one(entry, notes) for entry in body["data"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise BadAnswer("The hub's description of its models has an unexpected form.") from error


def amount(value: object) -> float | None:
    """Return `value` if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _one(info: Mapping[str, Any], notes: Mapping[str, Mapping[str, Any]] | None) -> ModelInfo:
    context = amount(info.get("max_input_tokens"))
    # LiteLLM alone says of an ability that nobody stated that it is not there.
    note = (
        {"tools": info.get("supports_function_calling")} if notes is None else notes.get(str(info["model_group"]), {})
    )
    memory = note.get("memory")
    return ModelInfo(
        None if context is None else int(context),
        amount(info.get("input_cost_per_token")),
        amount(info.get("output_cost_per_token")),
        tools if isinstance(tools := note.get("tools"), bool) else None,
        _text(note.get("size")),
        _text(note.get("about")),
        Memory(memory) if memory in tuple(Memory) else None,
    )


def _text(value: object) -> str | None:
    return str(value) if value else None
