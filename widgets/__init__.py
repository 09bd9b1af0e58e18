"""The ipywidgets front end of the lab: `ChatPanel`, `ComparePanel`, and `%load_ext widgets` for the magic `%%chat`."""

from typing import TYPE_CHECKING

from widgets.chat_panel import ChatPanel
from widgets.compare_panel import ComparePanel

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["ChatPanel", "ComparePanel"]


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Called by `%load_ext widgets`."""
    from widgets.magic import load

    load(shell)
