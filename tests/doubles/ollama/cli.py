"""The command line: `ollama serve` and `ollama --version`."""

from __future__ import annotations

import errno
import http.client
import json
import os
import secrets
import signal
import sys
import threading
from pathlib import Path

from . import VERSION
from .api import Api
from .completion import Engine
from .openai_api import OpenAi
from .registry import Puller
from .runners import Scheduler
from .settings import Settings, StartError, from_environment, parse_host
from .store import Store
from .web import WebServer


def main(arguments: list[str], runner: list[str]) -> int:
    """Run the command; `runner` starts a model process."""
    if arguments in (["--version"], ["-v"]):
        return print_version()
    if arguments in (["serve"], ["start"]):
        try:
            return serve(from_environment(), runner)
        except StartError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
    print(f'Error: unknown command "{" ".join(arguments)}" for "ollama"', file=sys.stderr)
    return 1


def print_version() -> int:
    """Print the running server's version, or the program's own where none runs."""
    host, port = parse_host(os.environ.get("OLLAMA_HOST", ""))
    found = ""
    try:
        connection = http.client.HTTPConnection(host, port, timeout=5)
        connection.request("GET", "/api/version")
        found = json.loads(connection.getresponse().read())["version"]
        print(f"ollama version is {found}")
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        print("Warning: could not connect to a running Ollama instance")
    if found != VERSION:
        print(f"Warning: client version is {VERSION}")
    return 0


def _make(folder: Path) -> None:
    """Make a folder, or say in Go's words why not."""
    missing = folder
    while not missing.parent.exists():
        missing = missing.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"mkdir {missing}: {os.strerror(error.errno or errno.EIO).lower()}") from error


def prepare(settings: Settings) -> None:
    """Write the identity key and make the models' folder.

    Raises:
        StartError: one of them is not possible.
    """
    key = settings.home / ".ollama" / "id_ed25519"
    if not key.exists():
        try:
            _make(key.parent)
        except StartError as error:
            raise StartError(f"could not create directory {error}") from error
        try:
            key.touch(mode=0o600)
            key.write_text(secrets.token_hex(32))
        except OSError as error:
            raise StartError(f"open {key}: {os.strerror(error.errno or errno.EIO).lower()}") from error
    for folder in (settings.models, settings.models / "blobs", settings.models / "manifests"):
        try:
            _make(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StartError(f"mkdir {folder / 'blobs'}: permission denied")
        except StartError as error:
            raise StartError(f"{error}: ensure path elements are traversable") from error


def serve(settings: Settings, runner: list[str]) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartError: a folder or the port is not to be had.
    """
    prepare(settings)
    store = Store(settings.models)
    store.prune()
    scheduler = Scheduler(runner, settings.parallel, settings.max_loaded)
    puller = Puller(store, settings.stall)
    api = Api(store, Engine(settings, store, scheduler), puller)
    try:
        server = WebServer((settings.host, settings.port), {**api.routes(), **OpenAi(api).routes()})
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise StartError(f"listen tcp {settings.host}:{settings.port}: bind: {reason}") from error

    def stop(*_: object) -> None:
        # The connections first: a client must see the stream end, not the end of the model process behind it.
        server.cut_connections()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    address = f"{settings.host}:{server.server_port}"
    print(f'level=INFO msg="Listening on {address} (version {VERSION})"', file=sys.stderr, flush=True)
    server.serve_forever(poll_interval=0.1)
    puller.stop()
    scheduler.stop()
    return 0
