from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from litellm_hub.client import HubClient
from tests.unit.client.scripted_hub import ScriptedHub, scripted_hub

RECORDINGS = Path(__file__).parent / "recordings"
KEY = "sk-secret-of-the-test"


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_hub() as running:
        yield running


@pytest.fixture
def client(hub: ScriptedHub) -> HubClient:
    return HubClient(hub.url, KEY, timeout=5)


@pytest.fixture
def replay() -> Callable[[str], HubClient]:
    """Make a client whose hub answers as in a recording, e.g. "ollama/down_stream"."""

    def make(name: str) -> HubClient:
        response = json.loads((RECORDINGS / f"{name}.json").read_text())["response"]
        lines = [part["line"] for part in response["body"] if "line" in part]
        stream = response["content_type"].startswith("text/event-stream")
        text = "".join(f"{line}\n\n" for line in lines) if stream else lines[0]

        def answer(request: httpx.Request) -> httpx.Response:
            headers = {"content-type": response["content_type"], **response.get("litellm_headers", {})}
            return httpx.Response(response["status"], headers=headers, content=text.encode())

        return HubClient("http://hub.test/v1", KEY, transport=httpx.MockTransport(answer))

    return make
