"""What the hub says about its models, read from LiteLLM's `/v1/model/info`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litellm_hub.errors import BadAnswer


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the hub says about a model; None where it does not say.

    Attributes:
        context: Longest prompt, in tokens.
        input_cost: Price of a token read, in the hub's currency (US dollars by default).
        output_cost: Price of a token written.
    """

    context: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None


def model_info(body: Mapping[str, Any]) -> dict[str, ModelInfo]:
    """Return what the answer's `body` says about each model, by name.

    Where several deployments serve a model, the longest context and the highest price count.

    Raises:
        BadAnswer: It has not LiteLLM's form.
    """
    found: dict[str, ModelInfo] = {}
    try:
        for entry in body["data"]:
            name, info = str(entry["model_name"]), _one(entry.get("model_info") or {})
            found[name] = _widest(found[name], info) if name in found else info
    except (AttributeError, KeyError, TypeError) as error:
        raise BadAnswer("The hub's description of its models has an unexpected form.") from error
    return found


def amount(value: object) -> float | None:
    """Return `value` if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _one(info: Mapping[str, Any]) -> ModelInfo:
    context = amount(info.get("max_input_tokens"))
    return ModelInfo(
        None if context is None else int(context),
        amount(info.get("input_cost_per_token")),
        amount(info.get("output_cost_per_token")),
    )


def _widest(one: ModelInfo, other: ModelInfo) -> ModelInfo:
    """Join what two deployments of a model say; where one does not say, nothing is known."""
    context = None if one.context is None or other.context is None else max(one.context, other.context)
    return ModelInfo(context, _larger(one.input_cost, other.input_cost), _larger(one.output_cost, other.output_cost))


def _larger(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
