"""A conversation as a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {
    "first_token_s": "float64",
    "duration_s": "float64",
    "tokens_per_s": "float64",
    "prompt_tokens": "Int64",
    "completion_tokens": "Int64",
    "cost": "float64",
    "finish_reason": "string",
}


def as_frame(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row for each prompt and answer on screen, oldest first.

    Args:
        entries: What `widgets.conversations.conversation.Conversation.entries` returns.

    Returns:
        Columns `role`, `text`, `model`, `state` (strings; the last two missing for prompts), `created` (UTC), and the
        figures of answers: `first_token_s`, `duration_s` (seconds), `tokens_per_s`, `prompt_tokens`,
        `completion_tokens`, `cost` (hub's currency), `finish_reason`; missing where not known.
    """
    import pandas as pd  # a third of a second, which panels without a look at the history need not pay

    rows = []
    for entry in entries:
        said = {name: entry.get(name) for name in ("role", "text", "model", "state", "created")}
        rows.append({**said, **{name: (entry.get("figures") or {}).get(name) for name in FIGURES}})
    columns = ["role", "text", "model", "state", "created", *FIGURES]
    frame = pd.DataFrame(rows, columns=columns)
    frame["created"] = pd.to_datetime(frame["created"], utc=True, format="ISO8601").dt.as_unit("ms")
    return frame.astype(dict.fromkeys(("role", "text", "model", "state"), "string") | FIGURES)
