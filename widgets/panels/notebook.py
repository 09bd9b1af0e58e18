"""The notebook that the kernel serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from IPython.core.getipython import get_ipython

from widgets.context.variables import attach
from widgets.storage.document import Attached

UNKNOWN_CONTEXT = 4096  # tokens: what is assumed of a model whose context the hub does not know


def namespace() -> dict[str, Any]:
    """Return the notebook's variables as they are now; none outside of a notebook."""
    shell = get_ipython()
    return dict(shell.user_ns) if shell is not None else {}


def attach_variables(names: Sequence[str], context: int | None) -> list[Attached]:
    """Return variables of the notebook as what goes along with a prompt, at most half of the model's context.

    Args:
        names: Names of the variables.
        context: The model's context in tokens; None where not known.

    Raises:
        UnknownVariableError: There is no such variable.
        ValueError: There are too many for the context.
    """
    return attach(names, namespace(), token_limit=(context or UNKNOWN_CONTEXT) // 2) if names else []
