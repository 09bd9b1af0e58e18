"""Requests wait for a slot of their model here, fairly by key, and not at the runtime in the order they came.

A deployment whose `model_info` has `parallel_requests` takes as many at a time; a model with a deployment of no known
number has no queue. A slot is taken when LiteLLM looks for a deployment and free when the runtime's answer has ended,
at the latest when the HTTP request has. `fair_queue` says who is next.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from litellm_hub.gateway.fair_queue import FairQueue, Ticket

SLOTS = "parallel_requests"  # in `model_info`
WEIGHT = "queue_weight"  # in a team's metadata: the share of each of its keys, 1 where it is not said
AGAIN_S = 30
_WEIGHTS = (0.01, 100.0)

Deployments = Sequence[Mapping[str, Any]]


class WaitedTooLongError(Exception):
    """No slot came free in the time that a request may take (HTTP 503)."""

    status_code = 503
    type = "overloaded_error"
    param = None
    code = "queue_timeout"

    def __init__(self, model: str, seconds: float) -> None:
        """Say how long was waited for which model."""
        super().__init__(f"No slot of the model '{model}' came free in {seconds:g} s. Ask again later.")
        self.headers = {"retry-after": str(AGAIN_S)}


class ClientLeftError(Exception):
    """The client left while its request waited: there is nobody to answer (HTTP 499)."""

    status_code = 499
    detail = "Client disconnected the request"  # by these words LiteLLM knows it for no error


class Visit:
    """One HTTP request on its way through the gateway, and the slot that it has or waits for."""

    def __init__(self, call_id: str, left: Callable[[], Awaitable[None]]) -> None:
        """Take the request's id as its client named it, and what returns when the client has left."""
        self.call_id = call_id
        self.key = ""
        self.weight = 1.0
        self.waited = 0.0
        self.ticket: Ticket | None = None
        self._left = left

    @property
    def host(self) -> str | None:
        """Where its slot is; None while it has none."""
        return None if self.ticket is None or self.ticket.gone else self.ticket.host

    def leave(self) -> None:
        """Free the slot, if there is one; again does nothing."""
        if self.ticket is not None:
            self.ticket.leave()

    def settle(self, tokens: int) -> None:
        """Say what the request has cost, also after its end."""
        if self.ticket is not None:
            self.ticket.settle(tokens)

    async def served(self, ticket: Ticket, model: str, patience: float) -> None:
        """Wait for a slot.

        Raises:
            WaitedTooLongError: Not within `patience` seconds, counted over all waits of the request.
            ClientLeftError: The client left before.
        """
        began = asyncio.get_running_loop().time()
        turn, left = asyncio.ensure_future(ticket.served()), asyncio.ensure_future(self._left())
        try:
            await asyncio.wait({turn, left}, timeout=patience - self.waited, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise ClientLeftError
            if ticket.host is None:
                raise WaitedTooLongError(model, patience)
        finally:
            turn.cancel()
            left.cancel()
            self.waited += asyncio.get_running_loop().time() - began


_current: ContextVar[Visit | None] = ContextVar("lab_visit", default=None)


@contextlib.contextmanager
def visit(call_id: str, left: Callable[[], Awaitable[None]]) -> Iterator[Visit]:
    """Let the block's calls of models share a slot, which is free after it at the latest."""
    found = Visit(call_id, left)
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)
        found.leave()


def current() -> Visit | None:
    """Return the visit that the running task belongs to; None outside of one."""
    return _current.get()


class Admission:
    """The queues of all models."""

    def __init__(self, patience: Callable[[], float]) -> None:
        """Take what returns how many seconds a request may wait."""
        self._patience = patience
        self._queues: dict[str, FairQueue] = {}
        self._waiting: dict[tuple[str, str], Visit] = {}

    def identify(self, caller: Any) -> None:
        """Say whose the current request is.

        Args:
            caller: LiteLLM's `UserAPIKeyAuth`.
        """
        if (found := current()) is not None:
            found.key = str(caller.api_key or "")
            weight = (caller.team_metadata or {}).get(WEIGHT)
            if isinstance(weight, int | float) and not isinstance(weight, bool):
                found.weight = min(max(float(weight), _WEIGHTS[0]), _WEIGHTS[1])

    async def admitted(self, deployments: Deployments) -> Deployments:
        """Wait for a slot, and return the deployment that it is of; all of them where one has no known number.

        A slot that the request has already stays its own, if it is of one of them.

        Args:
            deployments: Entries of the router's model list that may serve the request, of one model.

        Raises:
            WaitedTooLongError, ClientLeftError: See `Visit.served`.
        """
        slots = {each["model_info"]["id"]: _slots(each["model_info"]) for each in deployments}
        known = {host: number for host, number in slots.items() if number is not None}
        asking = current()
        if asking is None or not known or len(known) < len(slots):
            return deployments
        if asking.host not in known:
            asking.leave()
            await self._enter(asking, str(deployments[0].get("model_name")), known)
        return [each for each in deployments if each["model_info"]["id"] == asking.host]

    def lacks(self, info: Mapping[str, Any]) -> bool:
        """Tell whether the current request needs a slot of the deployment with this `model_info` first."""
        asking = current()
        return asking is not None and _slots(info) is not None and asking.host != info["id"]

    def place(self, call_id: str, key: str) -> int | None:
        """Return the place of a request that waits, 1 for the next; None for any other, and for another key's.

        Args:
            call_id: As the request's client named it.
            key: Hash of the key that the request came with.
        """
        found = self._waiting.get((key, call_id))
        return found.ticket.place if found is not None and found.ticket is not None else None

    async def _enter(self, asking: Visit, model: str, slots: Mapping[str, int]) -> None:
        queue = self._queues.setdefault(model, FairQueue())
        ticket = asking.ticket = queue.enter(asking.key, slots, asking.weight)
        if ticket.host is not None:
            return
        name = asking.key, asking.call_id
        self._waiting[name] = asking
        try:
            await asking.served(ticket, model, self._patience())
        except BaseException:
            ticket.settle(0)
            ticket.leave()
            raise
        finally:
            if self._waiting.get(name) is asking:
                del self._waiting[name]


def _slots(info: Mapping[str, Any]) -> int | None:
    number = info.get(SLOTS)
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None
