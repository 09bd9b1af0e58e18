"""A chat without its widget: the conversation on screen, the hub that answers, the tools, and what is known of these.

The panel and the requests of its views both hold one; it knows neither of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from litellm_hub.client import HubClient, HubState, HubStatus, ModelInfo
from litellm_hub.client.errors import HubError
from widgets.conversations.answer_task import AnswerTask, Settings
from widgets.conversations.conversation import Conversation, Event
from widgets.conversations.handle import AnswerHandle
from widgets.conversations.library import Library, OpenConversation, Saving
from widgets.panels.event_feed import EventFeed
from widgets.panels.meters import UsageMeters
from widgets.panels.notebook import attach_variables
from widgets.panels.preview import preview
from widgets.storage.document import Attached
from widgets.tools.toolbox import Toolbox


class ChatSession:
    """What a chat knows and does.

    Args:
        client: The hub.
        library: The kept conversations.
        opened: The conversation on screen at first.
        toolbox: What models may call.
        settings: Returns how the next prompt is asked; its model is empty while there is none.
        send: Gets the numbered events for the views, in order; it must not call back.
        on_change: Called on any thread when the conversation, its saving, the meters or the tools may have changed.
        on_end: Called after an answer on its thread, with the error that ended it, if any.

    Attributes:
        library: The kept conversations.
        toolbox: What models may call.
    """

    def __init__(
        self,
        client: HubClient,
        library: Library,
        opened: OpenConversation,
        toolbox: Toolbox,
        *,
        settings: Callable[[], Settings],
        send: Callable[[Event], None],
        on_change: Callable[[], None],
        on_end: Callable[[HubError | None], None],
    ) -> None:
        self.library = library
        self.toolbox = toolbox
        self._client = client
        self._settings = settings
        self._status: HubStatus | None = None
        self._on_change = on_change
        self._on_end = on_end
        self._meters = UsageMeters()
        self._turn = threading.RLock()  # held while it is decided what is asked next, and in which conversation
        self._opened = opened
        self._feed = EventFeed(send)

    def begin(self) -> None:
        """Tell of the conversation and of what changes from now on."""
        self._opened.watchers.append(self._on_change)
        self._feed.show(self._opened.conversation)
        self._on_change()

    @property
    def conversation(self) -> Conversation:
        """The conversation on screen."""
        return self._opened.conversation

    @property
    def saving(self) -> Saving:
        """Whether it is on disk."""
        return self._opened.saving

    @property
    def task(self) -> AnswerTask | None:
        """What writes its last answer; None before the first."""
        return self._opened.task

    def ask(self, text: str, attachments: Sequence[str] = (), *, attached: Sequence[Attached] = ()) -> AnswerHandle:
        """Send a prompt; see `ChatPanel.ask`. `attached` goes along as it is."""
        if not text.strip():
            raise ValueError("The prompt is blank.")
        refusal: HubError | None = None
        try:
            attached = [*attached, *self._attach(attachments)]
        except (LookupError, ValueError) as error:
            refusal = HubError(str(error), "Attach less, or nothing.")
        return self._answer(lambda talk, **how: talk.ask(text, attachments=attached, **how), refusal)

    def regenerate(self, node_id: str) -> AnswerHandle:
        """Have another answer written in place of one, as a new branch; see `Conversation.regenerate`."""
        return self._answer(lambda talk, **how: talk.regenerate(node_id, **how))

    def edit(self, prompt_id: str, text: str) -> AnswerHandle:
        """Say something else in place of a prompt, as a new branch; see `Conversation.edit`."""
        if not text.strip():
            raise ValueError("The prompt is blank.")
        return self._answer(lambda talk, **how: talk.edit(prompt_id, text, **how))

    def stop(self) -> None:
        """End the answer that is being written, if any; its text so far is kept."""
        if self.task is not None:
            self.task.stop()

    def switch(self, node_id: str, step: int) -> None:
        """Show another branch; see `Conversation.switch`."""
        self.conversation.switch(node_id, step)
        self._on_change()

    def delete(self, node_id: str) -> None:
        """Remove a node and all that follows it, and stop an answer among that."""
        opened = self._opened
        opened.conversation.delete(node_id)
        if opened.task is not None and not opened.conversation.has(opened.task.answer_id):
            opened.task.stop()
        self._on_change()

    def decide(self, answer_id: str, call_id: str, allow: bool, *, always: bool = False) -> None:
        """Say whether a tool call of the last answer may run; see `AnswerTask.decide`."""
        if self.task is not None and self.task.answer_id == answer_id:
            self.task.decide(call_id, allow, always=always)
            self._on_change()

    def switch_tool(self, name: str, *, on: bool) -> None:
        """Offer a tool to the models, or offer it no more."""
        self.toolbox.switch(name, on)
        self._on_change()

    def open(self, conversation_id: str | None = None) -> None:
        """Put a conversation on screen, by default a new one. The last one's answer goes on being written and saved.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        opened = self.library.open(conversation_id) if conversation_id else self.library.new()
        with self._turn:
            old, self._opened = self._opened, opened
            self._feed.show(opened.conversation)
            old.watchers.remove(self._on_change)
            opened.watchers.append(self._on_change)
            self.library.release(old)
            self._on_change()

    def replay(self) -> None:
        """Send all views what is on screen."""
        self._feed.replay()

    def preview(self, text: str, attachments: Sequence[str], attached: Sequence[Attached] = ()) -> dict[str, Any]:
        """Return exactly what a prompt would send; see `widgets.panels.preview.preview`.

        Raises:
            UnknownVariableError: There is no such variable.
            ValueError: There are too many for the model's context.
        """
        settings = self._settings()
        return preview(
            text,
            [*attached, *self._attach(attachments)],
            settings=settings,
            conversation=self.conversation,
            toolbox=self.toolbox,
            info=self._model_info(settings.model),
            count_tokens=self._client.count_tokens,
        )

    def take_status(self, found: HubStatus) -> None:
        """Take what the hub says about the key, and ask about models that are new."""
        self._status = found
        self._meters.take_status(found)
        if found.models and not set(found.models) <= set(self._meters.models):
            known: dict[str, ModelInfo] = {}
            with contextlib.suppress(HubError):  # the meter of the context stays empty; the status tells what is wrong
                known = self._client.model_info()
            # What the hub does not know now is not asked for again with every answer.
            self._meters.models = {**dict.fromkeys(found.models, ModelInfo()), **known}
        self._on_change()

    def forget_models(self) -> None:
        """Have the hub asked anew about all models."""
        self._meters.models = {}

    @property
    def abilities(self) -> dict[str, dict[str, Any]]:
        """What is known of each model: `context`, `tools`, `size`, `about` of `ModelInfo`; None where it is not."""
        shown = ("context", "tools", "size", "about")
        return {name: {word: getattr(info, word) for word in shown} for name, info in self._meters.models.items()}

    def meters(self) -> dict[str, float | None]:
        """Return the figures of the meters; see `UsageMeters.read`."""
        return self._meters.read(self._settings().model, self.conversation.entries())

    def close(self) -> None:
        """End the session. An answer that is being written is stopped unless somebody else shows it."""
        self._feed.close()
        self._opened.watchers.remove(self._on_change)
        if self._opened.users == 1:
            self.stop()
        self.library.release(self._opened)

    def _model_info(self, model: str) -> ModelInfo:
        return self._meters.models.get(model, ModelInfo())

    def _attach(self, names: Sequence[str]) -> list[Attached]:
        return attach_variables(names, self._model_info(self._settings().model).context)

    def _answer(self, begin: Callable[..., str], refusal: HubError | None = None) -> AnswerHandle:
        """Have `begin` add an answer to the conversation, and start to write it."""
        settings = self._settings()
        with self._turn:
            opened = self._opened
            answer_id = begin(opened.conversation, model=settings.model, system_prompt=settings.system_prompt)
            if refusal is None and not settings.model:
                refusal = self._why_no_model()
            opened.task = AnswerTask(
                opened.conversation,
                answer_id,
                self._client,
                settings,
                self.toolbox,
                refusal=refusal,
                on_end=lambda task: self._after(opened, task),
            )
            return AnswerHandle(opened.task.start())

    def _why_no_model(self) -> HubError:
        reason, remedy = "No model is chosen.", ""
        if self._status is not None and self._status.state is not HubState.OK:
            reason, remedy = self._status.reason, self._status.remedy
        return HubError(reason, remedy or "Choose a model at the top of the panel.")

    def _after(self, opened: OpenConversation, task: AnswerTask) -> None:
        """What is due after an answer; runs on its thread."""
        self.library.settle(opened)
        self._meters.add_cost(task.answer().figures.get("cost"))
        self._on_change()
        self._on_end(task.error)
