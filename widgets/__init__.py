"""The ipywidgets front end of the lab."""

from typing import TYPE_CHECKING, Any

from widgets.chat_panel import ChatPanel
from widgets.compare_panel import ComparePanel

if TYPE_CHECKING:
    from widgets.usage_dashboard import UsageDashboard

__all__ = ["ChatPanel", "ComparePanel", "UsageDashboard"]


def __getattr__(name: str) -> Any:
    # Charts and tables take seconds to load, which a chat need not wait for.
    if name == "UsageDashboard":
        from widgets.usage_dashboard import UsageDashboard

        return UsageDashboard
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
