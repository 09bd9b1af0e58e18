"""The kernel that a panel lives in."""

from __future__ import annotations


def memory() -> int | None:
    """Return the bytes of memory that this kernel has in use, without those that are swapped out.

    None where psutil is missing, which ipykernel brings along.
    """
    try:
        import psutil
    except ImportError:
        return None
    used: int = psutil.Process().memory_info().rss
    return used
