"""The ipywidgets front end of the lab."""

from widgets.chat_panel import ChatPanel

__all__ = ["ChatPanel"]
