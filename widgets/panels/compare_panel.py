"""The comparison: one prompt to several models at once, side by side, with a vote that is kept.

Messages of a view: `ask` (`text`), `stop`, `vote` (`round`, `model`, null for a tie), `replay`, `refresh`, `module`.
Messages to it: see `widgets.conversations.rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from litellm_hub.client import HubStatus
from widgets.conversations.answering import Answering, Settings
from widgets.conversations.conversation import Busy
from widgets.conversations.handle import AnswerHandle
from widgets.conversations.history import as_frame
from widgets.conversations.rounds import TIE, Rounds
from widgets.panels import assets
from widgets.panels.hub_panel import HubPanel, Message, Refused
from widgets.storage import votes
from widgets.storage.store import Store
from widgets.tools.toolbox import Toolbox

if TYPE_CHECKING:
    import pandas as pd

FEWEST, MOST = 2, 4


class ComparePanel(HubPanel):
    """A panel that asks several models the same and shows their answers side by side.

    Each model sees the prompts so far and its own answers. One that fails does not disturb the others.

    Args:
        chosen: The models to compare, two to four. Default: the first two that the hub lists.
        system_prompt: What each model is told first.
        temperature: Randomness, 0 to 2; None leaves it to the hub.
        max_tokens: Longest answer in tokens; None leaves it to the hub.
        folder: Where votes are kept; default: see `ChatPanel`.
        base_url: Address of the hub's API, ends in `/v1`. Default: `LITELLM_BASE_URL`.
        api_key: Key for the hub. Default: `LITELLM_API_KEY`. It stays in the kernel.

    Attributes:
        models: Names of the models that the key may use, as last seen.
        status: How the hub was when last asked: `state` ("checking" or a `HubState`), `reason`, `remedy`.

    Raises:
        TraitError: More than four models, or one of them twice.
    """

    _esm = assets.text("compare.js")
    _css = assets.text("chat.css")

    kind = traitlets.Unicode("compare").tag(sync=True)
    chosen = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        chosen: Sequence[str] = (),
        *,
        system_prompt: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        folder: str | Path | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._store = Store(folder)
        self._toolbox = Toolbox()
        self._answerings: list[Answering] = []
        self._rounds = Rounds(self.send)
        super().__init__(
            base_url,
            api_key,
            chosen=list(chosen),
            system_prompt=system_prompt,
            temperature=temperature,
            max_tokens=max_tokens,
        )
        self._actions = {"ask": self._on_ask, "stop": self._on_stop, "replay": self._on_replay}
        self._actions |= {"refresh": lambda _: self.refresh()}
        self._requests = {"vote": self._on_vote}
        self.refresh()

    @property
    def busy(self) -> bool:
        """True while an answer is being written."""
        return self._rounds.busy

    @property
    def history(self) -> pd.DataFrame:
        """What is on screen: see `widgets.conversations.history.as_frame`, with the column `round` in front."""
        entries = self._rounds.entries()
        frame = as_frame(entries)
        frame.insert(0, "round", [entry["round"] for entry in entries])
        return frame

    @staticmethod
    def votes(folder: str | Path | None = None) -> pd.DataFrame:
        """Return the kept votes, of all notebooks; see `widgets.storage.votes.read`."""
        return votes.read(folder)

    def ask(self, text: str) -> list[AnswerHandle]:
        """Send a prompt to the chosen models. Returns at once; the answers stream into the panel.

        Returns:
            A handle for each answer, in the order of `chosen`. `await` one for its end.

        Raises:
            ValueError: The prompt is blank, or less than two models are chosen.
            RuntimeError: An answer of the last round is still being written.
        """
        if not text.strip():
            raise ValueError("The prompt is blank.")
        if len(self.chosen) < FEWEST:
            raise ValueError(f"{len(self.chosen)} model is chosen; choose {FEWEST} to {MOST} to compare.")
        round_ = self._rounds.ask(text, self.chosen)
        self._answerings = [
            Answering(
                self._rounds,
                answer.id,
                self._client,
                Settings(answer.model, self.system_prompt, self.temperature, self.max_tokens),
                self._toolbox,
                on_end=self._after,
            )
            for answer in round_.answers
        ]
        return [AnswerHandle(answering.start()) for answering in self._answerings]

    def stop(self) -> None:
        """End all answers that are being written; their texts so far are kept."""
        for answering in self._answerings:
            answering.stop()

    def vote(self, round_id: str, model: str | None) -> None:
        """Keep which model won a round; None for a tie. A later vote takes the place of an earlier one.

        Raises:
            KeyError: There is no such round, or no such model in it.
            StoreError: The vote cannot be saved.
        """
        votes.keep(self._store, self._rounds.vote(round_id, model or TIE))

    def close(self) -> None:
        """Stop, and remove the panel."""
        self.stop()
        super().close()

    @traitlets.validate("chosen")
    def _few_and_different(self, proposal: Mapping[str, Any]) -> list[str]:
        names: list[str] = proposal["value"]
        if len(names) > MOST or len(set(names)) < len(names):
            raise traitlets.TraitError(f"{names} cannot be compared: choose {FEWEST} to {MOST} different models.")
        return names

    def _take_status(self, found: HubStatus) -> None:
        if not self.chosen and found.models:
            self.chosen = list(found.models[:FEWEST])

    def _after(self, answering: Answering) -> None:
        if answering.error is not None:
            self._check()

    def _on_ask(self, message: Message) -> None:
        text = message.get("text")
        if not isinstance(text, str) or not text.strip() or len(self.chosen) < FEWEST:
            return  # the view does not offer this
        try:
            self.ask(text)
        except Busy:
            self._rounds.replay()  # a second view asks while the first one's round is being answered

    def _on_stop(self, _: Message) -> None:
        self.stop()

    def _on_replay(self, _: Message) -> None:
        self._rounds.replay()

    def _on_vote(self, message: Message) -> Mapping[str, Any]:
        model = message.get("model")
        try:
            self.vote(str(message.get("round")), model if isinstance(model, str) else None)
        except KeyError as error:
            raise Refused(f"{error} is not in this comparison.", "Vote for a model of a round on screen.") from error
        return {}
