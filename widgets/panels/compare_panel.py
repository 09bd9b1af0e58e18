"""The comparison: one prompt to several models at once, side by side, and a choice before their names are shown.

Messages of a view: `ask` (`text`), `stop`, `choose` (`round`, id of the `answer`), `replay`, `refresh`, `module`.
Messages to it: see `widgets.conversations.comparison`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets

from litellm_hub.client import HubClient, HubStatus
from widgets.conversations.answer_task import AnswerTask
from widgets.conversations.comparison import Comparison
from widgets.conversations.conversation import BusyError
from widgets.conversations.handle import AnswerHandle
from widgets.conversations.history import as_frame
from widgets.panels import assets
from widgets.panels.hub_panel import LONGEST_ANSWER, HubPanel
from widgets.panels.message_panel import Message, text_of
from widgets.tools.toolbox import Toolbox

if TYPE_CHECKING:
    import pandas as pd

FEWEST, MOST = 2, 4


class ComparePanel(HubPanel):
    """A panel that asks several models the same and shows their answers side by side.

    Which answer is whose is shown once the user has said which is best; the order is another in each
    round. Each model sees the prompts so far and its own answers. One that fails does not disturb the others.

    Args:
        chosen: The models to compare, two to four. Default: the first two that the hub lists.
        system_prompt: What each model is told first.
        temperature: Randomness, 0 to 2; None leaves it to the hub.
        max_tokens: Longest answer in tokens; None leaves it to the hub.
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
        max_tokens: int | None = LONGEST_ANSWER,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._tasks: list[AnswerTask] = []
        self._comparison = Comparison(self.send)
        super().__init__(
            HubClient(base_url, api_key),
            chosen=list(chosen),
            system_prompt=system_prompt,
            temperature=temperature,
            max_tokens=max_tokens,
        )
        self._handlers |= {
            "ask": self._on_ask,
            "stop": lambda _: self.stop(),
            "replay": lambda _: self._comparison.replay(),
            "choose": lambda message: self._comparison.choose(text_of(message, "round"), text_of(message, "answer")),
        }
        self.refresh()

    @property
    def busy(self) -> bool:
        """True while an answer is being written."""
        return self._comparison.busy

    @property
    def history(self) -> pd.DataFrame:
        """What is on screen: see `widgets.conversations.history.as_frame`, with the column `round` in front.

        The column `chosen` says whether an answer was called the best of its round; missing before that was said.
        """
        entries = self._comparison.entries()
        choices = {entry["round"]: entry["choice"] for entry in entries if entry["role"] == "user"}
        frame = as_frame(entries)
        frame["chosen"] = [
            None if entry["role"] == "user" or choice is None else entry["id"] == choice
            for entry in entries
            for choice in (choices[entry["round"]],)
        ]
        frame["chosen"] = frame["chosen"].astype("boolean")
        frame.insert(0, "round", [entry["round"] for entry in entries])
        return frame

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
        round_ = self._comparison.ask(text, self.chosen)
        self._tasks = [
            AnswerTask(
                self._comparison,
                answer.id,
                self._client,
                self._settings(answer.model),
                Toolbox(),
                on_end=self._after,
            )
            for answer in round_.answers
        ]
        return [AnswerHandle(task.start()) for task in self._tasks]

    def stop(self) -> None:
        """End all answers that are being written; their texts so far are kept."""
        for task in self._tasks:
            task.stop()

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

    def _after(self, task: AnswerTask) -> None:
        if task.error is not None:
            self._check()

    def _on_ask(self, message: Message) -> None:
        text = text_of(message, "text")
        if not text.strip() or len(self.chosen) < FEWEST:
            return  # the view does not offer this
        try:
            self.ask(text)
        except BusyError:
            self._comparison.replay()  # a second view asks while the first one's round is being answered
