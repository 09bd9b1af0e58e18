"""Which model won: votes kept in a file of JSON lines, readable by their owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from widgets.conversations.document import Figures, now
from widgets.conversations.rounds import TIE, Round
from widgets.storage.store import Store, StoreError

if TYPE_CHECKING:
    import pandas as pd

FILE = "votes.jsonl"
FIGURES = {"first_token_s": "float64", "tokens_per_s": "float64", "completion_tokens": "Int64", "cost": "float64"}


class Candidate(msgspec.Struct, kw_only=True):
    """An answer that took part."""

    model: str
    text: str
    state: str
    figures: Figures = {}


class Vote(msgspec.Struct, kw_only=True):
    """A vote; of several for one round the last counts. `winner` is null for a tie."""

    round: str
    created: str
    prompt: str
    winner: str | None
    answers: list[Candidate]


def keep(store: Store, round_: Round) -> None:
    """Add a round's vote to the file.

    Raises:
        StoreError: It cannot be written.
    """
    vote = Vote(
        round=round_.id,
        created=now(),
        prompt=round_.prompt.text,
        winner=None if round_.winner == TIE else round_.winner,
        answers=[
            Candidate(model=answer.model, text=answer.text, state=answer.state.value, figures=answer.figures)
            for answer in round_.answers
        ],
    )
    store.append(FILE, msgspec.json.encode(vote))


def read(folder: str | Path | None = None) -> pd.DataFrame:
    """Read the kept votes.

    Args:
        folder: Where they are; default: see `widgets.storage.store`.

    Returns:
        One row for each answer of each round with a vote, oldest first: `created` (UTC, of the vote), `round`,
        `prompt`, `model`, `text`, `state`, `result` ("won", "lost" or "tie"), `first_token_s`, `tokens_per_s`,
        `completion_tokens`, `cost`. The share that each model won:

            votes.groupby("model")["result"].value_counts(normalize=True)

    Raises:
        StoreError: The file cannot be read, or a line of it is no vote.
    """
    import pandas as pd  # a third of a second, which panels need not pay

    store = Store(folder)
    votes: dict[str, Vote] = {}
    for number, line in enumerate(store.lines(FILE), 1):
        try:
            vote = msgspec.json.decode(line, type=Vote)
        except (msgspec.DecodeError, UnicodeError) as error:
            path = store.folder / FILE
            raise StoreError(f"Line {number} of {path} is no vote: {error}.", "Correct or remove the line.") from error
        votes[vote.round] = vote
    rows = [
        {
            **{"created": vote.created, "round": vote.round, "prompt": vote.prompt},
            **{"model": answer.model, "text": answer.text, "state": answer.state},
            "result": "tie" if vote.winner is None else "won" if vote.winner == answer.model else "lost",
            **{name: answer.figures.get(name) for name in FIGURES},
        }
        for vote in votes.values()
        for answer in vote.answers
    ]
    texts = ["round", "prompt", "model", "text", "state", "result"]
    frame = pd.DataFrame(rows, columns=["created", *texts, *FIGURES])
    frame["created"] = pd.to_datetime(frame["created"], utc=True, format="ISO8601").dt.as_unit("ms")
    return frame.astype(dict.fromkeys(texts, "string") | FIGURES)
