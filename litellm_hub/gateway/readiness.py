"""What the lab adds to the gateway's answer to `GET /health/readiness`, under the name `lab`."""

from collections.abc import Callable, Mapping
from typing import Any

PATH = "/health/readiness"

# Each returns fields for everybody to read, without waiting and without raising; the later wins over one of its name.
SOURCES: list[Callable[[], Mapping[str, object]]] = []


def of_accounts(waiting: int, oldest: float, set_aside: int, trouble: str, late: float) -> dict[str, Any]:
    """Return what to say of the usage journal.

    Args:
        waiting: Entries that wait for the database.
        oldest: Seconds that the oldest has waited.
        set_aside: Entries that the database refused.
        trouble: What is wrong with the database, if anything.
        late: Seconds of waiting from which on it is worth a word.
    """
    warnings = []
    if oldest > late:
        warnings.append(f"The usage log is {oldest:.0f} s behind, {waiting} requests wait. {trouble}".strip())
    if set_aside:
        warnings.append(f"The usage log lacks {set_aside} requests, see rejected.jsonl in the journal's folder")
    return {"journal": {"waiting": waiting, "oldest_s": oldest, "set_aside": set_aside}, "warnings": warnings}


def gathered() -> dict[str, object]:
    """Return the fields of all sources; their values must be JSON's."""
    return {name: value for source in SOURCES for name, value in source().items()}


async def added(_answer: object, _headers: object) -> dict[str, object]:
    """Return what to add to the gateway's answer, whatever that is and whoever asks."""
    return gathered()
