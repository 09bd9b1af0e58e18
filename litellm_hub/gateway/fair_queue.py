"""Who comes next where a model's slots are taken: fair queueing over flows by tokens.

Start-time fair queueing, with what a request costs known only after it: a flow's counter grows by the tokens that are
expected when its request is served, and is put right when they are counted (the virtual token counter of Sheng et al.,
"Fairness in Serving Large Language Models", OSDI 2024). The lowest counter is served next. A flow that comes back takes
the place of now, so nobody saves up turns, and no slot is free while somebody waits who could have it.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

# The share of the latest request in the mean of what one costs, which is what the next is expected to cost.
_LATEST = 0.1


class Ticket:
    """One request's place in the queue, then its slot.

    Attributes:
        host: Where its slot is, or was; None while it waits.
        gone: Whether place and slot are given up.
    """

    def __init__(self, queue: "FairQueue", flow: "_Flow", hosts: frozenset[str], number: int) -> None:
        """Made by `FairQueue.enter`."""
        self.host: str | None = None
        self._queue = queue
        self._flow = flow
        self._hosts = hosts
        self._number = number
        self._charged = 0.0
        self.gone = False
        self._turn: asyncio.Future[None] | None = None

    @property
    def place(self) -> int | None:
        """Turns until this one, 1 for the next, as far as can be said now; None when it does not wait."""
        return None if self.host is not None or self.gone else self._queue._place(self)

    async def served(self) -> None:
        """Wait for the slot.

        Raises:
            asyncio.CancelledError: The ticket was left.
        """
        if self.host is None:
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn

    def leave(self) -> None:
        """Give up the place, or the slot; again does nothing."""
        if not self.gone:
            self.gone = True
            self._queue._left(self)
            if self._turn is not None:
                self._turn.cancel()

    def settle(self, tokens: float) -> None:
        """Say what a request that was served has really cost, instead of what was expected or said before.

        Args:
            tokens: Read and written ones together.
        """
        if self.host is not None:
            self._flow.counter += (tokens - self._charged) / self._flow.weight
            self._charged = tokens
            self._queue._learn(tokens)

    def _serve(self, host: str, expected: float) -> None:
        self.host = host
        self._charged = expected
        self._flow.counter += expected / self._flow.weight
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)


@dataclass(eq=False, slots=True)
class _Flow:
    """Whose requests have one share together; `counter` is what they have had, by weight."""

    weight: float
    counter: float = 0.0
    waiting: dict[Ticket, None] = field(default_factory=dict)


class FairQueue:
    """The slots of the hosts that serve one model, and who waits for them; for one event loop."""

    def __init__(self) -> None:
        """Begin with nobody in it."""
        self._slots: dict[str, int] = {}
        self._busy: Counter[str] = Counter()
        self._flows: dict[str, _Flow] = {}
        self._now = 0.0  # the counter of the flow that was served last, and never less
        self._expected = 1.0  # tokens; too little costs others a turn in each slot, too much costs them many
        self._counted = False
        self._numbers = itertools.count()

    def enter(self, flow: str, slots: Mapping[str, int], weight: float = 1.0) -> Ticket:
        """Ask for a slot; where one is free and nobody is before, the ticket has it at once.

        Args:
            flow: Who asks: all with one name have one share.
            slots: How many requests each host takes at a time, of the hosts that may serve this one.
            weight: Of the flow's share, above 0: 2 gets twice as much as 1.
        """
        self._slots.update(slots)
        entered = self._flows.setdefault(flow, _Flow(weight))
        entered.weight = weight
        if not entered.waiting:
            entered.counter = max(entered.counter, self._now)
        ticket = Ticket(self, entered, frozenset(slots), next(self._numbers))
        entered.waiting[ticket] = None
        self._serve()
        return ticket

    def _serve(self) -> None:
        """Give out what slots can be given out."""
        while free := {host: left for host, slots in self._slots.items() if (left := slots - self._busy[host]) > 0}:
            first = (
                next((each for each in flow.waiting if each._hosts & free.keys()), None)
                for flow in self._flows.values()
            )
            ticket = min(
                (each for each in first if each), key=lambda each: (each._flow.counter, each._number), default=None
            )
            if ticket is None:
                return
            host = max(ticket._hosts & free.keys(), key=lambda each: (free[each], each))
            del ticket._flow.waiting[ticket]
            self._busy[host] += 1
            self._now = max(self._now, ticket._flow.counter)
            ticket._serve(host, self._expected)

    def _left(self, ticket: Ticket) -> None:
        if ticket.host is None:
            del ticket._flow.waiting[ticket]
        else:
            self._busy[ticket.host] -= 1
            self._serve()
        if not self._busy.total() and not any(flow.waiting for flow in self._flows.values()):
            self._flows.clear()  # where nobody waits, what anybody has had does not matter
            self._now = 0.0

    def _learn(self, tokens: float) -> None:
        if tokens > 0:
            self._expected += (_LATEST if self._counted else 1.0) * (tokens - self._expected)
            self._counted = True

    def _place(self, ticket: Ticket) -> int:
        def starts(flow: _Flow) -> list[tuple[float, int]]:
            step = self._expected / flow.weight
            return [(flow.counter + step * place, each._number) for place, each in enumerate(flow.waiting)]

        own = next(start for start in starts(ticket._flow) if start[1] == ticket._number)
        return 1 + sum(start < own for flow in self._flows.values() for start in starts(flow))
