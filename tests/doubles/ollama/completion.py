"""From a request to tokens: prompt, options, silent cut, generation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import gguf
from .runners import Runner, Scheduler
from .settings import Settings, seconds
from .store import Model, Store

# Ollama's name, its type there, llama.cpp's name (None: used by the server itself or without effect here)
_OPTIONS: dict[str, tuple[str, str | None]] = {
    "num_ctx": ("integer", None),
    "num_keep": ("integer", None),
    "num_batch": ("integer", None),
    "num_gpu": ("integer", None),
    "num_thread": ("integer", None),
    "num_predict": ("integer", "n_predict"),
    "seed": ("integer", "seed"),
    "top_k": ("integer", "top_k"),
    "repeat_last_n": ("integer", "repeat_last_n"),
    "temperature": ("float32", "temperature"),
    "top_p": ("float32", "top_p"),
    "min_p": ("float32", "min_p"),
    "typical_p": ("float32", "typical_p"),
    "repeat_penalty": ("float32", "repeat_penalty"),
    "presence_penalty": ("float32", "presence_penalty"),
    "frequency_penalty": ("float32", "frequency_penalty"),
    "stop": ("array", "stop"),
}
_TYPES: dict[str, tuple[type, ...]] = {"integer": (int, float), "float32": (int, float), "array": (list, str)}
_KEPT_TOKENS = 4
_SHIFTED_CONTEXTS = 10  # the longest answer that Ollama lets a model give


class PromptTooLongError(Exception):
    """The prompt does not fit the context and may not be cut; the text is llama.cpp's."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__(
            f"request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
        )


class OptionError(ValueError):
    """An option has the wrong type; the text is Ollama's."""


def check_options(options: dict[str, Any]) -> None:
    """Refuse options of the wrong type; unknown ones are ignored, as Ollama does.

    Raises:
        OptionError: names the option.
    """
    for key, value in options.items():
        kind, _ = _OPTIONS.get(key, ("", None))
        if kind and (isinstance(value, bool) or not isinstance(value, _TYPES[kind])):
            raise OptionError(f'option "{key}" must be of type {kind}')


def chat_prompt(messages: list[dict[str, Any]]) -> str:
    """The messages in ChatML, the format of the models that the double serves."""
    turns = "".join(f"<|im_start|>{m.get('role', 'user')}\n{m.get('content', '')}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


@dataclass
class Answer:
    """What a generation came to; durations in nanoseconds."""

    started: int = field(default_factory=time.monotonic_ns)
    loaded: int = 0
    prompt_tokens: int = 0
    prompt_ns: int = 1
    tokens: int = 0
    tokens_ns: int = 1
    reason: str = "stop"
    context: list[int] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """The figures of a last line."""
        return {
            "total_duration": time.monotonic_ns() - self.started,
            "load_duration": max(self.loaded - self.started, 1),
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": self.prompt_ns,
            "eval_count": self.tokens,
            "eval_duration": self.tokens_ns,
        }


class Engine:
    """Loads models and generates with them."""

    def __init__(self, settings: Settings, store: Store, scheduler: Scheduler) -> None:
        self.settings = settings
        self.store = store
        self.scheduler = scheduler

    def keep_alive(self, request: dict[str, Any]) -> float:
        """How long the request wants the model to stay, in seconds.

        Raises:
            ValueError: it cannot be read.
        """
        value = request.get("keep_alive")
        return self.settings.keep_alive if value is None else seconds(value)

    def options(self, model: Model, request: dict[str, Any]) -> dict[str, Any]:
        """The options that hold: the server's, over these the model's, over these the request's.

        Raises:
            OptionError: one has the wrong type.
        """
        given = {key: value for key, value in (request.get("options") or {}).items() if value is not None}
        check_options(given)
        return {"num_ctx": self.settings.context, **self.store.params(model), **given}

    @contextlib.contextmanager
    def load(self, model: Model, options: dict[str, Any], keep_alive: float) -> Iterator[Runner]:
        """Have the model in memory.

        Raises:
            MissingBlobError: one of its blobs is gone.
            gguf.TruncatedError: its file is cut.
            LoadError: it does not load.
        """
        weights = self.store.weights(model)
        gguf.read(weights)
        with self.scheduler.use(model, weights, int(options["num_ctx"]), keep_alive) as runner:
            yield runner

    def unload(self, model: Model) -> None:
        """Let the model go."""
        self.scheduler.unload(self.store.weights(model))

    def read(self, runner: Runner, prompt: str, answer: Answer, *, truncate: bool = True) -> list[int]:
        """The prompt's tokens, cut to what the context holds unless the request forbids it.

        Raises:
            PromptTooLongError: it would have to be cut.
            RunnerDiedError: the model process went away.
        """
        answer.loaded = time.monotonic_ns()
        body = {"content": prompt, "add_special": True, "parse_special": True}
        tokens: list[int] = runner.call("/tokenize", body)["tokens"]
        if not truncate and len(tokens) >= runner.context:
            raise PromptTooLongError(len(tokens), runner.context)
        return cut(tokens, runner.context)

    def generate(
        self,
        runner: Runner,
        tokens: list[int],
        options: dict[str, Any],
        form: Any,
        gone: Callable[[], bool],
        answer: Answer,
        *,
        shift: bool = True,
    ) -> Generator[str, None, None]:
        """Give the text piece by piece and fill `answer`; stops early where `gone` says that nobody listens.

        Without `shift` the answer ends where the context does; else the model forgets the beginning and goes on.

        Raises:
            RunnerDiedError: the model process went away.
        """
        body: dict[str, Any] = {"prompt": tokens, "stream": True, "cache_prompt": True, "return_tokens": True}
        for key, value in options.items():
            target = _OPTIONS.get(key, ("", None))[1]
            if target:
                body[target] = [value] if key == "stop" and isinstance(value, str) else value
        room = runner.context - len(tokens) if not shift else _SHIFTED_CONTEXTS * runner.context
        body["n_predict"] = min(body.get("n_predict", -1), room) if body.get("n_predict", -1) >= 0 else room
        if form:
            body["json_schema"] = closed(form) if isinstance(form, dict) else {}
        answer.context = list(tokens)
        with runner.slots, contextlib.closing(runner.stream("/completion", body)) as events:
            for event in events:
                if gone():
                    return
                answer.context += event.get("tokens") or []
                if event.get("content"):
                    yield event["content"]
                if event.get("stop"):
                    timings = event["timings"]
                    answer.reason = "length" if event["stop_type"] == "limit" else "stop"
                    answer.prompt_tokens, answer.tokens = len(tokens), int(event["tokens_predicted"])
                    answer.prompt_ns = max(int(timings["prompt_ms"] * 1e6), 1)
                    answer.tokens_ns = max(int(timings["predicted_ms"] * 1e6), 1)


def closed(schema: Any) -> Any:
    """The schema without properties that it does not name: llama.cpp alone would let the model add some."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    extra = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return {**extra, **{key: closed(value) for key, value in schema.items()}}


def cut(tokens: list[int], context: int) -> list[int]:
    """Cut a prompt that does not fit as Ollama does: silently, to the first tokens and half a context of the last."""
    if len(tokens) < context:
        return tokens
    return tokens[:_KEPT_TOKENS] + tokens[-((context - _KEPT_TOKENS) // 2) :]
