"""How much of the key's budget and of the model's context is used."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from litellm_hub.client import HubStatus, ModelInfo


class UsageMeters:
    """Keeps the figures of the meters. Safe to use from several threads.

    The hub adds up a key's spend some time after an answer (LiteLLM writes it in batches), so what answers cost is
    counted here as well until the hub has caught up.
    """

    def __init__(self) -> None:
        self.models: Mapping[str, ModelInfo] = {}
        self._lock = threading.Lock()
        self._hub_spend: float | None = None
        self._spend: float | None = None
        self._budget: float | None = None

    def take_status(self, status: HubStatus) -> None:
        """Take what the hub says about the key."""
        with self._lock:
            if status.spend is not None:
                fell = self._hub_spend is not None and status.spend < self._hub_spend  # the budget was reset
                self._spend = status.spend if fell else max(status.spend, self._spend or 0.0)
                self._hub_spend = status.spend
            if status.max_budget is not None or status.spend is not None:
                self._budget = status.max_budget

    def add_cost(self, cost: float | None) -> None:
        """Count an answer that has just ended."""
        with self._lock:
            if cost and self._spend is not None:
                self._spend += cost

    def read(self, model: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Return the figures.

        Args:
            model: The model that the next prompt goes to.
            entries: What is on screen, oldest first.

        Returns:
            `spend` and `max_budget` of the key in the hub's currency (US dollars by default), `context_used` by the
            conversation up to its last answer and `context_limit` of the model, in tokens; None where not known.
        """
        info = self.models.get(model)
        with self._lock:
            return {
                "spend": self._spend,
                "max_budget": self._budget,
                "context_used": _context_used(entries),
                "context_limit": info.context if info else None,
            }


def _context_used(entries: Sequence[Mapping[str, Any]]) -> int | None:
    if not entries:
        return 0
    for entry in reversed(entries):
        used = (entry.get("figures") or {}).get("context_tokens")
        if used is not None:
            return int(used)
    return None
