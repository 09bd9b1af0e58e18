"""The notebook that the kernel serves."""

from __future__ import annotations

from typing import Any

from IPython.core.getipython import get_ipython


def namespace() -> dict[str, Any]:
    """Return the notebook's variables as they are now; none outside of a notebook."""
    shell = get_ipython()
    return dict(shell.user_ns) if shell is not None else {}
