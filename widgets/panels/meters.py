"""How much of the key's budget and of the model's context is used."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from litellm_hub.client import HubStatus, ModelInfo
from litellm_hub.client.tokens import estimate_tokens
from widgets.storage.document import State


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
            conversation, estimated where the hub did not count it, and `context_limit` of the model, in tokens; None
            where not known.
        """
        info = self.models.get(model)
        with self._lock:
            return {
                "spend": self._spend,
                "max_budget": self._budget,
                "context_used": _context_used(entries),
                "context_limit": info.context if info else None,
            }


def _context_used(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return what the hub counted last, and an estimate of what came after that: a stopped answer brings no figures."""
    used = 0
    unread = False  # models do not see an exchange whose answer says nothing
    for entry in reversed(entries):
        counted = (entry.get("figures") or {}).get("context_tokens")
        if counted is not None:
            return used + int(counted)
        if entry["role"] == "assistant":
            calls = entry.get("calls") or ()
            unread = not entry["text"].strip() and not calls and not State(entry["state"]).live
            said = [entry["text"], *(f"{call['name']}{call['arguments']}{call['result']}" for call in calls)]
            used += estimate_tokens("\n".join(said))
        elif not unread:
            attached = sum(one["tokens"] for one in entry.get("attachments") or ())
            used += estimate_tokens(entry["text"]) + attached
    return used
