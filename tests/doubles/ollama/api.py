"""Ollama's own interface under `/api`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from . import VERSION, gguf
from .completion import Answer, Engine, OptionError, PromptTooLongError, chat_prompt
from .names import ModelName
from .registry import Cancelled, Puller, PullError
from .runners import LoadError, Runner, RunnerDiedError
from .store import MODEL, MissingBlobError, Model, Store, UnknownModelError, complete_name, show, stamp
from .web import JSON, LINES, TEXT, ApiError, Exchange, dumps


class Api:
    """The functions behind the routes."""

    def __init__(self, store: Store, engine: Engine, puller: Puller) -> None:
        self.store = store
        self.engine = engine
        self.puller = puller

    def routes(self) -> dict[tuple[str, str], Callable[[Exchange], None]]:
        """Method and path of each function."""
        table: dict[tuple[str, str], Callable[[Exchange], None]] = {
            ("POST", "/api/chat"): self.chat,
            ("POST", "/api/generate"): self.generate,
            ("POST", "/api/embed"): self.embed,
            ("POST", "/api/pull"): self.pull,
            ("POST", "/api/show"): self.show,
            ("POST", "/api/copy"): self.copy,
            ("DELETE", "/api/delete"): self.delete,
            ("GET", "/api/ps"): self.ps,
        }
        for method in ("GET", "HEAD"):
            table[method, "/"] = lambda exchange: exchange.send(200, TEXT, b"Ollama is running")
            table[method, "/api/version"] = lambda exchange: exchange.send_json({"version": VERSION})
            table[method, "/api/tags"] = self.tags
        return table

    def find(self, name: str) -> Model:
        """The model a request asks for.

        Raises:
            ApiError: 404 where it is not there.
        """
        try:
            return self.store.find(name)
        except UnknownModelError as error:
            raise ApiError(404, f"model '{name}' not found") from error

    @contextlib.contextmanager
    def loaded(self, name: str, model: Model, options: dict[str, Any], keep_alive: float) -> Iterator[Runner]:
        """Have the model in memory; faults before the answer begins become statuses.

        Raises:
            ApiError: 404 without its blob, 500 where it does not load.
        """
        with contextlib.ExitStack() as stack:
            try:
                runner = stack.enter_context(self.engine.load(model, options, keep_alive))
            except MissingBlobError as error:
                raise ApiError(404, f'model "{name}" not found, try pulling it first') from error
            except (gguf.TruncatedError, LoadError, ValueError) as error:
                raise ApiError(500, str(error)) from error
            yield runner

    def prepare(self, name: str, request: dict[str, Any]) -> tuple[Model, dict[str, Any], float]:
        """The model, its options and how long it stays.

        Raises:
            ApiError: one of them is not possible.
        """
        model = self.find(name)
        if request.get("think"):
            raise ApiError(400, f'"{name}" does not support thinking')
        if request.get("tools"):
            raise ApiError(400, f"{model.name.full} does not support tools")
        try:
            return model, self.engine.options(model, request), self.engine.keep_alive(request)
        except OptionError as error:
            raise ApiError(500, str(error)) from error
        except ValueError as error:
            raise ApiError(400, str(error)) from error

    def chat(self, exchange: Exchange) -> None:
        request = exchange.body("api.ChatRequest", model=str, messages=list, options=dict)
        messages = request.get("messages") or []
        prompt = chat_prompt(messages) if messages else ""
        self._answer(exchange, request, prompt, lambda text: {"message": {"role": "assistant", "content": text}})

    def generate(self, exchange: Exchange) -> None:
        request = exchange.body("api.GenerateRequest", model=str, prompt=str, options=dict)
        prompt = request.get("prompt") or ""
        if prompt and not request.get("raw"):
            system = [{"role": "system", "content": request["system"]}] if request.get("system") else []
            prompt = chat_prompt([*system, {"role": "user", "content": prompt}])
        self._answer(exchange, request, prompt, lambda text: {"response": text}, context=True)

    def _answer(
        self,
        exchange: Exchange,
        request: dict[str, Any],
        prompt: str,
        field: Callable[[str], dict[str, Any]],
        context: bool = False,
    ) -> None:
        name = request.get("model") or ""
        if not name:
            raise ApiError(400, "model is required")
        model, options, keep_alive = self.prepare(name, request)

        def line(text: str, **rest: Any) -> dict[str, Any]:
            return {"model": name, "created_at": stamp(), **field(text), "done": bool(rest), **rest}

        if not prompt and keep_alive == 0:
            self.engine.unload(model)
            exchange.send_json(line("", done_reason="unload"))
            return
        answer = Answer()
        if not prompt:
            with self.loaded(name, model, options, keep_alive):
                pass
            exchange.send_json(line("", done_reason="load"))
            return
        with self.loaded(name, model, options, keep_alive) as runner:
            try:
                tokens = self.engine.read(runner, prompt, answer, truncate=request.get("truncate", True))
            except PromptTooLongError as error:
                raise ApiError(400, str(error)) from error
            except RunnerDiedError as error:
                raise ApiError(500, str(error)) from error
            pieces = self.engine.generate(
                runner,
                tokens,
                options,
                request.get("format"),
                exchange.gone,
                answer,
                shift=request.get("shift", True),
            )
            with contextlib.closing(pieces):
                if request.get("stream", True):
                    exchange.stream(LINES, _lines(pieces, answer, line, context))
                    return
                try:
                    text = "".join(pieces)
                except (RunnerDiedError, LoadError) as error:
                    raise ApiError(500, str(error)) from error
        exchange.send_json(line(text, **_last(answer, context)))

    def embed(self, exchange: Exchange) -> None:
        self.find(exchange.body("api.EmbedRequest", model=str).get("model") or "")
        raise ApiError(501, "This server does not support embeddings. Start it with `--embeddings`")

    def pull(self, exchange: Exchange) -> None:
        request = exchange.body("api.PullRequest", model=str)
        name = ModelName.parse(request.get("model") or request.get("name") or "")
        if name is None:
            raise ApiError(400, "invalid model name")
        lines = self.puller.pull(name, bool(request.get("insecure")))
        with contextlib.closing(lines):
            if request.get("stream", True):
                exchange.stream(LINES, _pull_lines(lines))
                return
            try:
                every = list(lines)
            except (PullError, OSError) as error:
                raise ApiError(500, str(error), plain_type=True) from error
            exchange.send_json(every[-1])

    def show(self, exchange: Exchange) -> None:
        request = exchange.body("api.ShowRequest", model=str)
        name = request.get("model") or request.get("name") or ""
        exchange.send_json(show(self.store, self.find(complete_name(name))))

    def copy(self, exchange: Exchange) -> None:
        request = exchange.body("api.CopyRequest", source=str, destination=str)
        source, destination = request.get("source") or "", ModelName.parse(request.get("destination") or "")
        if ModelName.parse(source) is None:
            raise ApiError(400, f'source "{source}" is invalid')
        if destination is None:
            raise ApiError(400, f'destination "{request.get("destination") or ""}" is invalid')
        try:
            self.store.copy(source, destination)
        except UnknownModelError as error:
            raise ApiError(404, f'model "{source}" not found') from error
        exchange.send(200, None)

    def delete(self, exchange: Exchange) -> None:
        request = exchange.body("api.DeleteRequest", model=str)
        name = request.get("model") or request.get("name") or ""
        self.find(name)
        self.store.delete(name)
        exchange.send(200, None)

    def tags(self, exchange: Exchange) -> None:
        models = [
            {
                "name": model.name.short,
                "model": model.name.short,
                "modified_at": stamp(model.modified),
                "size": model.size,
                "digest": model.digest,
                "details": self.store.details(model, lengths=True),
                "capabilities": ["completion"],
            }
            for model in self.store.models()
        ]
        exchange.send_json({"models": models})

    def ps(self, exchange: Exchange) -> None:
        models = [
            {
                "name": runner.model.name.short,
                "model": runner.model.name.short,
                "size": int((runner.model.layer(MODEL) or {})["size"]) + runner.context * 23040,
                "digest": runner.model.digest,
                "details": self.store.details(runner.model),
                "expires_at": stamp(runner.expires_at),
                "size_vram": 0,
                "context_length": runner.context,
            }
            for runner in self.engine.scheduler.loaded()
        ]
        exchange.send_json({"models": models}, content_type=JSON)


def _last(answer: Answer, context: bool) -> dict[str, Any]:
    extra = {"context": answer.context} if context else {}
    return {"done_reason": answer.reason, **extra, **answer.figures()}


def _lines(pieces: Iterator[str], answer: Answer, line: Callable[..., dict[str, Any]], context: bool) -> Iterator[str]:
    try:
        for piece in pieces:
            yield dumps(line(piece)) + "\n"
    except (RunnerDiedError, LoadError) as error:
        yield dumps({"error": str(error)}) + "\n"
        return
    yield dumps(line("", **_last(answer, context))) + "\n"


def _pull_lines(lines: Iterator[dict[str, Any]]) -> Iterator[str]:
    try:
        for line in lines:
            yield dumps(line) + "\n"
    except (PullError, OSError) as error:
        yield dumps({"error": str(error)}) + "\n"
    except Cancelled:
        return
