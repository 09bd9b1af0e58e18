"""What the lab adds to LiteLLM's answer to `GET /model_group/info`, under the name `lab`: more about the models in it.

LiteLLM's own answer says nothing of a model's size and purpose, takes an ability that nobody stated for one that is not
there, and does not know whether the runtime has the model in its memory.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

PATH = "/model_group/info"
# Seconds that a runtime may take to say whether it has a model. llama.cpp does so at once, unless it is loading it.
ASK_TIMEOUT_S = 1.0
# What the catalogue says: as it is named in `model_info`, and in the answer.
_STATED = {"size": "size", "about": "about", "supports_function_calling": "tools"}

# Set where there is a router; adds to an answer, None for nothing.
SOURCES: "list[ModelNotes]" = []


class ModelNotes:
    """Reads the router's deployments, and asks their runtimes."""

    def __init__(
        self,
        deployments: Callable[[], Iterable[Mapping[str, Any]]],
        transport: httpx.AsyncBaseTransport | None = None,
        place: Callable[[str, str], int | None] = lambda *_: None,
    ) -> None:
        """Take where to look.

        Args:
            deployments: Returns the router's model list.
            transport: The way to the runtimes if it is not the network.
            place: Returns the place in its queue of a request, given its id and the hash of its key.
        """
        kept_none = httpx.Limits(max_keepalive_connections=0)  # llama.cpp's server closes idle connections
        self._deployments = deployments
        self._place = place
        self._client = httpx.AsyncClient(transport=transport, timeout=ASK_TIMEOUT_S, trust_env=False, limits=kept_none)

    async def of(self, answer: Any, headers: Mapping[bytes, bytes]) -> dict[str, Any] | None:
        """Return the notes about the models of an answer, by name; None where it lists none.

        `size`, `about` and `tools` are the catalogue's, as far as it says them; `memory` is the runtime's word:
        "ready", "asleep" (the next request loads it) or "loading", and is left out where the runtime does not say.
        `place` is that of the caller's request which has the same `x-litellm-call-id` as this one and waits for a slot.
        """
        listed = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(listed, list):
            return None
        names = {entry.get("model_group") for entry in listed if isinstance(entry, dict)}
        chosen = {each["model_name"]: each for each in self._deployments() if each.get("model_name") in names}
        states = await asyncio.gather(*(self._memory(each.get("litellm_params") or {}) for each in chosen.values()))
        models = {
            name: stated(deployment) | ({"memory": state} if state else {})
            for (name, deployment), state in zip(chosen.items(), states, strict=True)
        }
        key = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        # LiteLLM names a key by this hash.
        place = self._place(headers.get(b"x-litellm-call-id", b"").decode("latin-1"), hashlib.sha256(key).hexdigest())
        return {"models": models} | ({"place": place} if place else {})

    async def _memory(self, parameters: Mapping[str, Any]) -> str | None:
        """Ask a runtime whether it has the model in its memory; what is asked wakes none."""
        provider, _, model = str(parameters.get("model")).partition("/")
        base = str(parameters.get("api_base") or "").removesuffix("/v1")
        if not base or provider not in ("openai", "ollama_chat"):
            return None
        try:
            if provider == "ollama_chat":
                loaded = (await self._client.get(f"{base}/api/ps")).json()["models"]
                return "ready" if model in {entry["model"] for entry in loaded} else "asleep"
            headers = {"authorization": f"Bearer {parameters.get('api_key') or ''}"}
            try:
                asleep = (await self._client.get(f"{base}/props", headers=headers)).json()["is_sleeping"]
            except httpx.ReadTimeout:
                # It takes the question and keeps it until the model is there; its health it tells at any time.
                health = await self._client.get(f"{base}/health", headers=headers)
                return "loading" if health.is_success else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        return "asleep" if asleep else "ready"


def stated(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the catalogue says about a deployment's model."""
    info = deployment.get("model_info") or {}
    return {name: info[key] for key, name in _STATED.items() if info.get(key) is not None}


async def noted(answer: Any, headers: Mapping[bytes, bytes]) -> dict[str, Any] | None:
    """Return what to add to an answer to a request with these headers; None for nothing."""
    return await SOURCES[-1].of(answer, headers) if SOURCES else None
