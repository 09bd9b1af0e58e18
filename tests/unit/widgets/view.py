"""What a view of a chat panel does with the events, in a few lines."""

from __future__ import annotations

import json
from typing import Any

Event = dict[str, Any]


class View:
    """Keeps the entries on screen up to date; loses events if told so, and then asks for a replay when it notices."""

    def __init__(self) -> None:
        self.seq: int | None = None
        self.entries: list[dict[str, Any]] = []
        self.conversation: dict[str, Any] = {}
        self.busy = False
        self.lost = 0

    @property
    def needs_replay(self) -> bool:
        return self.seq is None

    def take(self, event: Event) -> None:
        event = json.loads(json.dumps(event))
        if event["type"] == "reply":
            return
        if event["type"] == "replay":
            self._replay(event)
        elif self.lost > 0:
            self.lost -= 1
        elif self.seq is not None and event["seq"] == self.seq + 1:
            self.seq += 1
            getattr(self, f"_{event['type']}")(event)
        elif self.seq is not None and event["seq"] > self.seq:
            self.seq = None

    def _replay(self, event: Event) -> None:
        self.seq, self.entries, self.busy = event["seq"], event["entries"], event["busy"]
        self.conversation = event.get("conversation", {})

    def _path(self, event: Event) -> None:
        assert event["keep"] <= len(self.entries)
        self.entries[event["keep"] :] = event["entries"]
        self.busy = event["busy"]
        self.conversation = event.get("conversation", self.conversation)

    def _delta(self, event: Event) -> None:
        self._entry(event["id"])["text"] += event["text"]

    def _call(self, event: Event) -> None:
        self._entry(event["id"])["state"] = event["state"]
        calls = self._entry(event["id"])["calls"]
        known = [index for index, call in enumerate(calls) if call["id"] == event["call"]["id"]]
        if known:
            calls[known[0]] = event["call"]
        else:
            calls.append(event["call"])

    def _state(self, event: Event) -> None:
        self._entry(event["id"])["state"] = event["state"]
        self._entry(event["id"])["figures"] = {name: event[name] for name in ("place",) if name in event}

    def _end(self, event: Event) -> None:
        self._entry(event["answer"]["id"]).update(event["answer"])
        self.busy = event["busy"]

    def _choice(self, event: Event) -> None:
        prompt = next(entry for entry in self.entries if entry["role"] == "user" and entry["round"] == event["round"])
        prompt["choice"] = event["choice"]

    def _title(self, event: Event) -> None:
        self.conversation = event["conversation"]

    def _entry(self, node_id: str) -> dict[str, Any]:
        return next(entry for entry in self.entries if entry["id"] == node_id)
