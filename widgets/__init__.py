"""The ipywidgets front end of the lab."""

from widgets.chat_panel import ChatPanel
from widgets.compare_panel import ComparePanel

__all__ = ["ChatPanel", "ComparePanel"]
