"""Wrong keys: counted by address, answered shortly above a rate, said in the log once a minute.

A right key is never counted and so never refused: LiteLLM has looked at the key by then, and its answer says so.
"""

import asyncio
import logging
from collections import Counter

log = logging.getLogger("litellm_hub.wrong_keys")

MOST_A_MINUTE = 60
# LiteLLM's words for a key that nobody has, none at all, and one that cannot be a key. A key that is right and may not
# do what it asks for gets a 401 as well.
_WRONG = ("Invalid proxy server token passed", "No api key passed in", "Virtual Key expected")
_WRONG_IN_ANSWERS = tuple(words.encode() for words in _WRONG)
_WINDOW_S = 60.0
_ADDRESSES = 1_024  # counted apart; all further ones together


class WrongKeys:
    """Counts LiteLLM's refusals of keys in windows of a minute that begin with the first of them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ends = 0.0

    def count(self, address: str, answer: bytes) -> int:
        """Count LiteLLM's 401, if a wrong key is its reason.

        Args:
            address: Where the request came from.
            answer: The answer's body.

        Returns:
            Seconds to wait for an address that is over the rate, else 0.
        """
        if not any(words in answer for words in _WRONG_IN_ANSWERS):
            return 0
        loop = asyncio.get_running_loop()
        if not self._counts:
            self._ends = loop.time() + _WINDOW_S
            loop.call_at(self._ends, self._end)
        if address not in self._counts and len(self._counts) >= _ADDRESSES:
            address = ""
        self._counts[address] += 1
        if self._counts[address] <= MOST_A_MINUTE:
            return 0
        return max(1, round(self._ends - loop.time()))

    def _end(self) -> None:
        log.warning(
            "%d requests with wrong keys from %d addresses in the last minute", self._counts.total(), len(self._counts)
        )
        self._counts.clear()


def without_each(record: logging.LogRecord) -> bool:
    """Filter LiteLLM's own line for each wrong key, which names the key's hash, out of its log."""
    return record.module != "auth_exception_handler" or not any(words in record.getMessage() for words in _WRONG)
