"""The ipywidgets front end of the lab."""

from widgets.chat_panel import ChatPanel
from widgets.usage_dashboard import UsageDashboard

__all__ = ["ChatPanel", "UsageDashboard"]
