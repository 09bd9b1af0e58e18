"""The chat panel: an anywidget whose answers stream on a thread of their own.

The kernel may be busy with another cell: the answer goes on, and Stop works as soon as its message is handled, at once
where JupyterLab gives widgets a subshell (4.6 and newer with ipykernel 7). No handler here waits for anything.

Messages from a view: `ask` (with `text`), `stop`, `clear`, `refresh`, `replay`. Messages to all views: the events of
`widgets.conversation`. The conversation is never part of the widget's state, which notebooks may save.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from litellm_hub.client import ChatStream, HubClient, HubState
from litellm_hub.errors import AnswerCut, HubError
from widgets.conversation import Conversation, State
from widgets.pacing import Pacer

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = ("dom.js", "answer_text.js", "entry.js", "controls.js", "chat.js")
_CHECKING = {"state": "checking", "reason": "Asking the hub …", "remedy": ""}

log = logging.getLogger(__name__)


def _one_module(names: tuple[str, ...]) -> str:
    """Join the ES modules into one: a widget's code is a single text that cannot import its neighbours."""
    text = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in names)
    text = re.sub(r'^import .* from "\./\w+\.js";$', "", text, flags=re.MULTILINE)
    return re.sub(r"^export (?!default)", "", text, flags=re.MULTILINE)


class ChatPanel(anywidget.AnyWidget):  # type: ignore[misc,unused-ignore]  # ipywidgets has no types
    """A panel to chat with the models of the hub.

    Args:
        model: Model to start with; default: the first one that the hub lists.
        system_prompt: What the model is told before the conversation.
        temperature: Randomness, 0 to 2; None leaves it to the hub.
        max_tokens: Longest answer in tokens; None leaves it to the hub.
        base_url: Address of the hub's API, ends in `/v1`. Default: `LITELLM_BASE_URL`.
        api_key: Key for the hub. Default: `LITELLM_API_KEY`. It stays in the kernel.

    Attributes:
        models: Names of the models that the key may use, as last seen.
        status: How the hub was when last asked: `state` ("checking" or a `HubState`), `reason`, `remedy`.
    """

    _esm = _one_module(_SCRIPTS)
    _css = (_STATIC / "chat.css").read_text(encoding="utf-8")

    model = traitlets.Unicode("").tag(sync=True)
    models = traitlets.List(traitlets.Unicode()).tag(sync=True)
    temperature = traitlets.Float(None, allow_none=True, min=0, max=2).tag(sync=True)
    max_tokens = traitlets.Int(None, allow_none=True, min=1).tag(sync=True)
    system_prompt = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Dict(_CHECKING).tag(sync=True)

    def __init__(
        self,
        *,
        model: str = "",
        system_prompt: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._client = HubClient(base_url, api_key)
        self._conversation = Conversation(self.send)
        self._stream: ChatStream | None = None
        self._lock = threading.Lock()
        self._check_lock = threading.Lock()
        super().__init__(model=model, system_prompt=system_prompt, temperature=temperature, max_tokens=max_tokens)
        self._stay_on_the_subshell()
        self.on_msg(self._on_message)
        self.refresh()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far, oldest first: `role`, `content` and, for answers, `model`, `state` and more."""
        return [_as_message(entry) for entry in self._conversation.entries()]

    @property
    def busy(self) -> bool:
        """True while an answer is streaming."""
        return self._stream is not None

    def ask(self, text: str) -> None:
        """Send a prompt. Returns at once; the answer streams into the panel.

        Raises:
            ValueError: The prompt is blank.
            RuntimeError: The last answer is still streaming.
        """
        if not text.strip():
            raise ValueError("The prompt is blank.")
        with self._lock:
            if self._stream is not None:
                raise RuntimeError("The last answer is still streaming; stop() ends it.")
            answer = self._conversation.ask(text, self.model)
            try:
                self._stream = self._open_stream()
            except HubError as error:
                self._fail(answer, error)
                return
            arguments = (self._stream, answer)
        threading.Thread(target=self._answer, args=arguments, name="chat-answer", daemon=True).start()

    def stop(self) -> None:
        """End the answer that is streaming, if any; its text so far is kept."""
        stream = self._stream
        if stream is not None:
            stream.close()

    def clear(self) -> None:
        """Stop, and forget the conversation."""
        self.stop()
        self._conversation.clear()

    def refresh(self) -> None:
        """Ask the hub how it is and which models it has. Returns at once; `status` and `models` follow."""
        threading.Thread(target=self._check, name="chat-check", daemon=True).start()

    def close(self) -> None:
        """Stop, and remove the panel."""
        self.stop()
        super().close()

    def _stay_on_the_subshell(self) -> None:
        """Let messages of views go where the front end sends them.

        ipykernel 7.4 diverts them to the shell that last used the comm, in case one of its cells waits for a reply. No
        cell waits for this panel, but that shell may be busy, and then Stop would come when the answer is over.
        """
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None

    def _on_message(self, _panel: object, content: dict[str, Any], _buffers: object) -> None:
        match content.get("type"):
            case "ask":
                # A second view of the panel may ask while this one is answering; its prompt stays where it was typed.
                text = content.get("text")
                if isinstance(text, str) and text.strip() and not self.busy:
                    self.ask(text)
            case "stop":
                self.stop()
            case "clear":
                self.clear()
            case "refresh":
                self.refresh()
            case "replay":
                self._conversation.replay()
            case unknown:
                log.warning("The chat panel got a message of the unknown type %r.", unknown)

    def _open_stream(self) -> ChatStream:
        if not self.model:
            bad = self.status.get("state") not in {"checking", HubState.OK}
            reason, remedy = (self.status["reason"], self.status["remedy"]) if bad else ("No model is chosen.", "")
            raise HubError(reason, remedy or "Choose a model at the top of the panel.")
        return self._client.stream_chat(
            self.model,
            self._conversation.messages(self.system_prompt),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )

    def _answer(self, stream: ChatStream, answer: int) -> None:
        """Pass an answer from the hub to the conversation; runs on a thread of its own."""
        pacer = Pacer(lambda text: self._conversation.add(answer, text))
        error: HubError | None = None
        try:
            for delta in stream:
                pacer.write(delta.text)
        except HubError as failure:
            error = failure
        except Exception as failure:  # a thread tells nobody, and the panel would wait for ever
            log.exception("The chat panel failed while it read an answer.")
            error = HubError(f"The panel failed: {failure!r}.", "The kernel's log has the details.")
        pacer.close()
        stream.close()
        with self._lock:
            self._stream = None
        if error is not None:
            self._fail(answer, error, _figures(stream))
        else:
            state = State.STOPPED if stream.closed else State.DONE
            self._conversation.end(answer, state, figures=_figures(stream))

    def _fail(self, answer: int, error: HubError, figures: dict[str, Any] | None = None) -> None:
        state = State.CUT if isinstance(error, AnswerCut) and error.partial else State.FAILED
        self._conversation.end(answer, state, figures=figures, reason=error.reason, remedy=error.remedy)
        self.refresh()

    def _check(self) -> None:
        with self._check_lock:
            self.status = _CHECKING
            found = self._client.status()
            if found.models:
                self.models = list(found.models)
                self.model = self.model or found.models[0]
            self.status = {"state": found.state.value, "reason": found.reason, "remedy": found.remedy}


def _as_message(entry: dict[str, Any]) -> dict[str, Any]:
    message = {"role": entry["role"], "content": entry["text"]}
    if entry["role"] == "assistant":
        message |= {"model": entry["model"], "state": entry["state"].value, "figures": entry["figures"]}
        if entry["reason"]:
            message["error"] = f"{entry['reason']} {entry['remedy']}"
    return message


def _figures(stream: ChatStream) -> dict[str, Any]:
    """Return what an answer took: times in seconds, tokens, cost in the hub's currency; None where not known."""
    usage, first, duration = stream.usage, stream.time_to_first_token, stream.duration
    rate = None
    if usage and first is not None and duration is not None and usage.completion_tokens > 1 and duration > first:
        # The first token's time is the time to read the prompt; the rate is of those that follow.
        rate = (usage.completion_tokens - 1) / (duration - first)
    return {
        "first_token_s": first,
        "duration_s": duration,
        "tokens_per_s": rate,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cost": usage.cost if usage else None,
        "finish_reason": stream.finish_reason,
    }
