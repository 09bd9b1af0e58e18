"""The ipywidgets front end of the lab: the chat panels, the usage dashboard, and `%load_ext widgets` for `%%chat`."""

from typing import TYPE_CHECKING, Any

from widgets.panels.chat_panel import ChatPanel
from widgets.panels.compare_panel import ComparePanel

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from widgets.panels.usage_dashboard import UsageDashboard

__all__ = ["ChatPanel", "ComparePanel", "UsageDashboard"]


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Called by `%load_ext widgets`."""
    from widgets.magic import load

    load(shell)


def __getattr__(name: str) -> Any:
    # Charts and tables take seconds to load, which a chat need not wait for.
    if name == "UsageDashboard":
        from widgets.panels.usage_dashboard import UsageDashboard

        return UsageDashboard
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
