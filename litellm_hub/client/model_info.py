"""What the hub says about its models, read from LiteLLM's `/model_group/info`.

That joins the deployments of a model, and, unlike `/model/info`, says nothing of where the runtime is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litellm_hub.client.errors import BadAnswer


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the hub says about a model; None where it does not say.

    Attributes:
        context: Longest prompt, in tokens.
        input_cost: Price of a token read, in the hub's currency (US dollars by default).
        output_cost: Price of a token written.
        tools: Whether it calls tools.
    """

    context: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None
    tools: bool | None = None


def model_info(body: Mapping[str, Any]) -> dict[str, ModelInfo]:
    """Return what the answer's `body` says about each model, by name.

    Raises:
        BadAnswer: It has not LiteLLM's form.
    """
    try:
        return {str(entry["model_group"]): _one(entry) for entry in body["data"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise BadAnswer("The hub's description of its models has an unexpected form.") from error


def amount(value: object) -> float | None:
    """Return `value` if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _one(info: Mapping[str, Any]) -> ModelInfo:
    context = amount(info.get("max_input_tokens"))
    return ModelInfo(
        None if context is None else int(context),
        amount(info.get("input_cost_per_token")),
        amount(info.get("output_cost_per_token")),
        tools if isinstance(tools := info.get("supports_function_calling"), bool) else None,
    )
