"""The chat panel: an anywidget over a conversation that lives in the kernel and in the user's own folder.

Messages from a view and to it: see `widgets.panels.chat_requests`, `widgets.conversations.conversation` and
`widgets.panels.feed`. The conversation is never part of the widget's state, which notebooks may save.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from litellm_hub.client import HubClient, HubStatus, ModelInfo
from litellm_hub.client.errors import HubError
from widgets.context.variables import attach
from widgets.conversations.answering import Answering, Settings
from widgets.conversations.document import Attached
from widgets.conversations.handle import AnswerHandle
from widgets.conversations.history import as_frame
from widgets.panels import assets
from widgets.panels.chat_requests import answer_requests
from widgets.panels.feed import Feed
from widgets.panels.hub_panel import HubPanel
from widgets.panels.meters import Meters
from widgets.panels.notebook import namespace
from widgets.storage.library import Library, Session
from widgets.storage.store import StoreError
from widgets.tools.toolbox import Toolbox

if TYPE_CHECKING:
    import pandas as pd

    from widgets.tools.tool import Tool

UNKNOWN_CONTEXT = 4096  # tokens: what is assumed of a model whose context the hub does not know


class ChatPanel(HubPanel):
    """A panel to chat with the models of the hub.

    Conversations are saved by themselves, one file each, in a folder that only you can read; they survive the kernel.

    Args:
        model: Model to start with. Default: the saved conversation's, else the one that was used last, else the first
            one that the hub lists.
        system_prompt: What the model is told before the conversation.
        temperature: Randomness, 0 to 2; None leaves it to the hub.
        max_tokens: Longest answer in tokens; None leaves it to the hub.
        tools: Functions of the notebook that models may call; name, docstring and annotations tell them how. They run
            on threads of their own, beside the notebook's cells.
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
        meters: Budget and context used, see `widgets.panels.meters.Meters.read`.

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

    def __init__(
        self,
        *,
        model: str = "",
        system_prompt: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Iterable[Callable[..., Any] | Tool] = (),
        approve: str = "ask",
        conversation: str | None = None,
        folder: str | Path | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self.toolbox = Toolbox(tools, approve)
        self.library = Library.at(folder)
        self._session = self.library.open(conversation) if conversation else self.library.new()
        self._meters = Meters()
        self._turn = threading.RLock()  # held while it is decided what is asked next, and in which conversation
        super().__init__(
            base_url,
            api_key,
            model=model or self._session.conversation.model,
            system_prompt=system_prompt or self._session.conversation.system_prompt,
            temperature=temperature,
            max_tokens=max_tokens,
            tools=self.toolbox.describe(),
        )
        self._feed = Feed(self.send, self._session.conversation)
        self._watch(self._session)
        self._actions, self._requests = answer_requests(self)
        self.observe(lambda _: self.show_meters(), "model")
        self.show_meters()
        self.refresh()

    @property
    def conversation(self) -> str:
        """Id of the conversation on screen: `ChatPanel(conversation=…)` goes on with it in another kernel."""
        return self._session.id

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
        """Send a prompt. Returns at once; the answer streams into the panel. `await` what it returns for the end.

        Args:
            text: The prompt.
            attachments: Names of variables of the notebook that go along, as the model can read them.

        Raises:
            ValueError: The prompt is blank.
            RuntimeError: The last answer is still being written.
        """
        if not text.strip():
            raise ValueError("The prompt is blank.")
        refusal: HubError | None = None
        attached: list[Attached] = []
        try:
            attached = self.attached(attachments)
        except (LookupError, ValueError) as error:
            refusal = HubError(str(error), "Attach less, or nothing.")
        with self._turn:
            session = self._session
            answer_id = session.conversation.ask(text, self.model, attached, system_prompt=self.system_prompt)
            return self._start(session, answer_id, refusal)

    def regenerate(self, node_id: str) -> AnswerHandle:
        """Have another answer written in place of one, as a new branch; see `Conversation.regenerate`."""
        with self._turn:
            talk = self._session.conversation
            return self._start(self._session, talk.regenerate(node_id, self.model, system_prompt=self.system_prompt))

    def edit(self, prompt_id: str, text: str) -> AnswerHandle:
        """Say something else in place of a prompt, as a new branch; see `Conversation.edit`."""
        if not text.strip():
            raise ValueError("The prompt is blank.")
        with self._turn:
            talk = self._session.conversation
            answer_id = talk.edit(prompt_id, text, self.model, system_prompt=self.system_prompt)
            return self._start(self._session, answer_id)

    def stop(self) -> None:
        """End the answer that is being written, if any; its text so far is kept."""
        answering = self._session.answering
        if answering is not None:
            answering.stop()

    def clear(self) -> None:
        """Begin a new conversation; the old one stays saved."""
        self.show(self.library.new())

    def load(self, conversation_id: str) -> None:
        """Go on with a saved conversation.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        self.show(self.library.open(conversation_id))

    def close(self) -> None:
        """Remove the panel. An answer that is being written is stopped unless another panel shows it."""
        if self.comm is not None:
            self._feed.close()
            self._session.watchers.remove(self._show_saving)
            if self._session.users == 1:
                self.stop()
            self.library.release(self._session)
        super().close()

    def show(self, session: Session) -> None:
        """Put a conversation on screen. An answer of the last one goes on being written and saved."""
        with self._turn:
            old, self._session = self._session, session
            self._feed.show(session.conversation)
            old.watchers.remove(self._show_saving)
            self._watch(session)
            if not session.conversation.empty:
                self.system_prompt = session.conversation.system_prompt
            self.library.release(old)
        self.show_meters()

    def refresh(self) -> None:
        """Ask the hub how it is, and which models it has. Returns at once; `status`, `models`, `meters` follow."""
        self._meters.models = {}
        super().refresh()

    def replay(self) -> None:
        """Send all views what is on screen."""
        self._feed.replay()

    def attached(self, names: Sequence[str]) -> list[Attached]:
        """Return what goes along with a prompt: variables of the notebook, at most half of the model's context.

        Raises:
            UnknownVariable: There is no such variable.
            ValueError: There are too many for the model's context.
        """
        return attach_variables(names, self.model_info.context)

    @property
    def session(self) -> Session:
        """The open conversation on screen."""
        return self._session

    @property
    def client(self) -> HubClient:
        """The hub behind the panel."""
        return self._client

    @property
    def model_info(self) -> ModelInfo:
        """Context and prices of the model; None in them where not known."""
        return self._meters.models.get(self.model, ModelInfo())

    def show_meters(self) -> None:
        """Set the meters to what is known now."""
        self.meters = self._meters.read(self.model, self._session.conversation.entries())

    def show_tools(self) -> None:
        """Show which tools the user is asked about."""
        self.tools = self.toolbox.describe()

    def _start(self, session: Session, answer_id: str, refusal: HubError | None = None) -> AnswerHandle:
        settings = Settings(self.model, self.system_prompt, self.temperature, self.max_tokens)
        if refusal is None and not self.model:
            refusal = self._no_model()
        session.answering = Answering(
            session.conversation,
            answer_id,
            self._client,
            settings,
            self.toolbox,
            refusal=refusal,
            on_end=lambda answering: self._after(session, answering),
        )
        return AnswerHandle(session.answering.start())

    def _after(self, session: Session, answering: Answering) -> None:
        """What is due after an answer; runs on its thread."""
        self.library.settle(session)
        self._meters.add_cost(answering.answer().figures.get("cost"))
        self.show_meters()
        with contextlib.suppress(StoreError):  # the conversation could not be saved either, and the panel says so
            self.library.store.remember("model", answering.settings.model)
        self._check(quietly=answering.error is None)

    def _take_status(self, found: HubStatus) -> None:
        self._meters.take_status(found)
        if found.models and not set(found.models) <= set(self._meters.models):
            self._ask_about_models(found.models)
        if not self.model and found.models:
            last = self.library.store.setting("model")
            self.model = last if last in found.models else found.models[0]
        self.show_meters()

    def _ask_about_models(self, names: Sequence[str]) -> None:
        known: dict[str, ModelInfo] = {}
        with contextlib.suppress(HubError):  # the meter of the context stays empty; the status tells what is wrong
            known = self._client.model_info()
        # What the hub does not know now is not asked for again with every answer.
        self._meters.models = {**dict.fromkeys(names, ModelInfo()), **known}

    def _watch(self, session: Session) -> None:
        session.watchers.append(self._show_saving)
        self._show_saving()

    def _show_saving(self) -> None:
        saving = self._session.saving
        self.saving = {"state": saving.state, "reason": saving.reason, "remedy": saving.remedy}


def attach_variables(names: Sequence[str], context: int | None) -> list[Attached]:
    """Return variables of the notebook as what goes along with a prompt, at most half of the model's context.

    Args:
        names: Names of the variables.
        context: The model's context in tokens; None where not known.

    Raises:
        UnknownVariable: There is no such variable.
        ValueError: There are too many for the context.
    """
    found = attach(names, namespace(), token_limit=(context or UNKNOWN_CONTEXT) // 2) if names else []
    return [Attached(name=one.name, kind=one.kind, text=one.text, tokens=one.tokens) for one in found]


def _as_message(entry: dict[str, Any]) -> dict[str, Any]:
    message = {"role": entry["role"], "content": entry["text"], "id": entry["id"]}
    if entry["role"] == "assistant":
        message |= {name: entry[name] for name in ("model", "state", "figures")}
        if entry["reason"]:
            message["error"] = f"{entry['reason']} {entry['remedy']}"
    return message
