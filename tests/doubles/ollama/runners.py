"""Starts, keeps and ends the model processes."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from .settings import FOREVER
from .store import Model

LOAD_SECONDS = 300


class LoadError(Exception):
    """A model process did not come up; the text goes to the caller."""


class RunnerDiedError(Exception):
    """The model process went away in mid-answer; the text is Ollama's."""

    def __init__(self) -> None:
        super().__init__("an error was encountered while running the model: unexpected EOF")


class Runner:
    """One model process."""

    def __init__(self, command: list[str], model: Model, weights: Path, context: int, parallel: int) -> None:
        self.model = model
        self.weights = weights
        self.context = context
        self.slots = threading.Semaphore(parallel)
        self.users = 0
        self.unwanted = False
        self.expires = FOREVER
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        options = ["--model", str(weights), "--port", str(self.port), "--ctx-size", str(context)]
        self.process = subprocess.Popen([*command, *options, "--parallel", str(parallel)], stdin=subprocess.DEVNULL)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    @property
    def expires_at(self) -> datetime.datetime:
        """When it will be unloaded; a date far away where that is never."""
        if self.expires == FOREVER:
            return datetime.datetime(2318, 1, 1, tzinfo=datetime.UTC)
        return datetime.datetime.fromtimestamp(self.expires, datetime.UTC)

    def wait(self) -> None:
        """Wait until the model is loaded.

        Raises:
            LoadError: the process ended, or did not answer in time.
        """
        deadline = time.monotonic() + LOAD_SECONDS
        while self.alive and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                with contextlib.closing(connection):
                    connection.request("GET", "/health")
                    if connection.getresponse().status == 200:
                        return
            time.sleep(0.02)
        code = self.process.poll()
        self.stop()
        raise LoadError(f"llama runner process has terminated: exit status {code}")

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One plain request.

        Raises:
            RunnerDiedError: the process went away.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            with contextlib.closing(connection):
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                answer: dict[str, Any] = json.loads(connection.getresponse().read())
                return answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RunnerDiedError from error

    def stream(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The events of a streamed request; closing the iterator stops the generation.

        Raises:
            RunnerDiedError: the process went away.
            LoadError: llama.cpp refused the request.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise LoadError(str(json.loads(response.read())["error"]["message"]))
            for line in response:
                if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                    event: dict[str, Any] = json.loads(line[6:])
                    yield event
                    if event.get("stop"):
                        return
            raise RunnerDiedError
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RunnerDiedError from error
        finally:
            connection.close()


class Scheduler:
    """Which models are loaded, and for how long."""

    def __init__(self, command: list[str], parallel: int, max_loaded: int) -> None:
        self.command = command
        self.parallel = parallel
        self.max_loaded = max_loaded
        self._runners: dict[Path, Runner] = {}
        self._lock = threading.RLock()
        self._loading = threading.Lock()
        self._stopping = threading.Event()
        threading.Thread(target=self._expire, daemon=True).start()

    def loaded(self) -> list[Runner]:
        """The models in memory, the one that stays longest first."""
        with self._lock:
            return sorted(
                (runner for runner in self._runners.values() if runner.alive), key=lambda r: r.expires, reverse=True
            )

    @contextlib.contextmanager
    def use(self, model: Model, weights: Path, context: int, keep_alive: float) -> Iterator[Runner]:
        """Have the model in memory for the length of the block, loading it where it is not.

        Raises:
            LoadError: it cannot be loaded.
        """
        with self._loading:
            runner = self._get(model, weights, context)
        try:
            yield runner
        finally:
            with self._lock:
                runner.users -= 1
                runner.expires = 0.0 if runner.unwanted else time.time() + keep_alive
            if runner.unwanted or keep_alive == 0:
                self._drop_expired()

    def _get(self, model: Model, weights: Path, context: int) -> Runner:
        """The model's process, counted as used so that it cannot expire meanwhile."""
        with self._lock:
            runner = self._runners.get(weights)
            if runner and runner.alive and runner.context == context:
                runner.model = model
                runner.unwanted = False
                runner.users += 1
                return runner
        if runner:
            self._wait_idle(runner)
            self._drop(runner)
        self._make_room()
        runner = Runner(self.command, model, weights, context, self.parallel)
        runner.users = 1
        runner.wait()
        with self._lock:
            self._runners[weights] = runner
        return runner

    def _wait_idle(self, runner: Runner) -> None:
        while runner.users and runner.alive and not self._stopping.is_set():
            time.sleep(0.02)

    def _make_room(self) -> None:
        while len(loaded := self.loaded()) >= self.max_loaded:
            victim = min(loaded, key=lambda runner: (runner.users, runner.expires))
            self._wait_idle(victim)
            self._drop(victim)

    def _drop(self, runner: Runner) -> None:
        with self._lock:
            if self._runners.get(runner.weights) is runner:
                del self._runners[runner.weights]
        runner.stop()

    def unload(self, weights: Path) -> None:
        """Let a model go as soon as nobody uses it."""
        with self._lock:
            runner = self._runners.get(weights)
            if runner:
                runner.unwanted = True
                runner.expires = 0.0
        self._drop_expired()

    def _drop_expired(self) -> None:
        with self._lock:
            now = time.time()
            expired = [
                runner
                for runner in self._runners.values()
                if not runner.alive or (not runner.users and runner.expires <= now)
            ]
        for runner in expired:
            self._drop(runner)

    def _expire(self) -> None:
        while not self._stopping.wait(0.2):
            self._drop_expired()

    def stop(self) -> None:
        """End all model processes."""
        self._stopping.set()
        with self._lock:
            runners = list(self._runners.values())
        for runner in runners:
            runner.stop()
