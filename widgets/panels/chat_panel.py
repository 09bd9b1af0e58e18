"""The chat panel: an anywidget over a conversation that lives in the kernel and in the user's own folder.

Messages from a view and to it: see `widgets.panels.chat_requests`, `widgets.conversations.conversation` and
`widgets.panels.event_feed`. The conversation is never part of the widget's state, which notebooks may save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from litellm_hub.client import HubClient, HubStatus
from litellm_hub.client.errors import HubError
from widgets.conversations.handle import AnswerHandle
from widgets.conversations.history import as_frame
from widgets.conversations.library import Library
from widgets.panels import assets
from widgets.panels.chat_requests import ChatRequests
from widgets.panels.chat_session import ChatSession
from widgets.panels.hub_panel import LONGEST_ANSWER, HubPanel
from widgets.tools.ready import READY
from widgets.tools.toolbox import Toolbox

if TYPE_CHECKING:
    import pandas as pd

    from widgets.tools.tool import Tool


FIRST_CHECK_S = 10.0  # longest wait for the hub's first word


class ChatPanel(HubPanel):
    """A panel to chat with the models of the hub.

    Conversations are saved by themselves, one file each, in a folder that only you can read; they survive the kernel.

    Args:
        model: Model to start with. Default: the saved conversation's, else the one that was used last, else the first
            one that the hub lists.
        system_prompt: What the model is told before the conversation.
        temperature: Randomness, 0 to 2; None leaves it to the hub.
        max_tokens: Longest answer in tokens; one that reaches it can be continued. None leaves it to the hub.
        tools: Functions of the notebook that models may call; name, docstring and annotations tell them how. They run
            on threads of their own, beside the notebook's cells. Some more are ready to be switched on in the settings.
        approve: "ask" to be asked before each call of a tool, "always" to let them run.
        conversation: Id of a saved conversation to go on with. Default: a new one.
        folder: Where conversations are kept. Default: `$GENAILABS_CHAT_FOLDER`, else `genailabs-chat` in
            `$XDG_DATA_HOME` (`~/.local/share`).
        base_url: Address of the hub's API, ends in `/v1`. Default: `LITELLM_BASE_URL`.
        api_key: Key for the hub. Default: `LITELLM_API_KEY`. It stays in the kernel.

    Attributes:
        models: Names of the models that the key may use, as last seen.
        status: How the hub was when last asked: `state` ("checking" or a `HubState`), `reason`, `remedy`.
        saving: Whether the conversation is on disk: `state` ("saved", "copy" or "failed"), `reason`, `remedy`.
        tools: The tools, and which of them are offered, see `widgets.tools.toolbox.Toolbox.describe`.
        abilities: What is known of the models, by name: `context` in tokens, `tools`, `size`, `about`.
        meters: Budget and context used, see `widgets.panels.meters.UsageMeters.read`.

    Raises:
        StoreError: The conversation is not there, or cannot be read.
        ValueError: A setting or a tool cannot be used; the message says which and why.
    """

    _esm = assets.text("chat.js")
    _css = assets.text("chat.css")

    kind = traitlets.Unicode("chat").tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    saving = traitlets.Dict().tag(sync=True)
    meters = traitlets.Dict().tag(sync=True)
    tools = traitlets.List(traitlets.Dict()).tag(sync=True)
    abilities = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        model: str = "",
        system_prompt: str = "",
        temperature: float | None = None,
        max_tokens: int | None = LONGEST_ANSWER,
        tools: Iterable[Callable[..., Any] | Tool] = (),
        approve: str = "ask",
        conversation: str | None = None,
        folder: str | Path | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        toolbox, library, client = Toolbox(tools, approve, READY), Library.at(folder), HubClient(base_url, api_key)
        opened = library.open(conversation) if conversation else library.new()
        super().__init__(
            client,
            model=model or opened.conversation.model,
            system_prompt=system_prompt or opened.conversation.system_prompt,
            temperature=temperature,
            max_tokens=max_tokens,
            tools=toolbox.describe(),
        )
        self._on_screen = opened.id
        self._session = ChatSession(
            client,
            library,
            opened,
            toolbox,
            settings=lambda: self._settings(self.model),
            send=self.send,
            on_change=self._show,
            on_end=self._after,
        )
        self._handlers |= ChatRequests(self._session).handlers
        self.observe(lambda _: self._show(), "model")
        self._session.begin()
        self.refresh()

    @property
    def conversation(self) -> str:
        """Id of the conversation on screen: `ChatPanel(conversation=…)` goes on with it in another kernel."""
        return self._session.conversation.id

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What is on screen, oldest first: `role`, `content` and, for answers, `model`, `state`, `figures` and more."""
        return [_as_message(entry) for entry in self._session.conversation.entries()]

    @property
    def history(self) -> pd.DataFrame:
        """What is on screen as a frame, a row per prompt and answer; see `widgets.conversations.history.as_frame`."""
        return as_frame(self._session.conversation.entries())

    @property
    def busy(self) -> bool:
        """True while an answer is being written."""
        return self._session.conversation.busy

    def ask(self, text: str, attachments: Sequence[str] = ()) -> AnswerHandle:
        """Send a prompt. The answer streams into the panel; `await` what this returns for its end.

        Returns at once, except where the hub has not yet said which models there are, right after the panel was made.

        Args:
            text: The prompt.
            attachments: Names of variables of the notebook that go along, as the model can read them.

        Raises:
            ValueError: The prompt is blank.
            RuntimeError: The last answer is still being written.
        """
        if not self.model:
            self._checked.wait(FIRST_CHECK_S)
        return self._session.ask(text, attachments)

    def regenerate(self, node_id: str) -> AnswerHandle:
        """Have another answer written in place of one, as a new branch; see `Conversation.regenerate`."""
        return self._session.regenerate(node_id)

    def edit(self, prompt_id: str, text: str) -> AnswerHandle:
        """Say something else in place of a prompt, as a new branch; see `Conversation.edit`."""
        return self._session.edit(prompt_id, text)

    def stop(self) -> None:
        """End the answer that is being written, if any; its text so far is kept."""
        self._session.stop()

    def clear(self) -> None:
        """Begin a new conversation; the old one stays saved."""
        self._session.open()

    def load(self, conversation_id: str) -> None:
        """Go on with a saved conversation.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        self._session.open(conversation_id)

    def close(self) -> None:
        """Remove the panel. An answer that is being written is stopped unless another panel shows it."""
        if self.comm is not None:
            self._session.close()
        super().close()

    def refresh(self) -> None:
        """Ask the hub how it is, and which models it has. Returns at once; `status`, `models`, `meters` follow."""
        self._session.forget_models()
        super().refresh()

    def _take_status(self, found: HubStatus) -> None:
        self._session.take_status(found)
        if not self.model:
            self.model = self._session.library.usual_model(found.models)

    def _show(self) -> None:
        """Set the traits to what is known now."""
        conversation = self._session.conversation
        if conversation.id != self._on_screen:
            self._on_screen = conversation.id
            if not conversation.empty:
                self.system_prompt = conversation.system_prompt
        self.saving = asdict(self._session.saving)
        self.meters = self._session.meters()
        self.tools = self._session.toolbox.describe()
        self.abilities = self._session.abilities

    def _after(self, error: HubError | None) -> None:
        self._check(quietly=error is None)


def _as_message(entry: dict[str, Any]) -> dict[str, Any]:
    message = {"role": entry["role"], "content": entry["text"], "id": entry["id"]}
    if entry["role"] == "assistant":
        message |= {name: entry[name] for name in ("model", "state", "figures")}
        if entry["reason"]:
            message["error"] = f"{entry['reason']} {entry['remedy']}"
    return message
