"""The tools that a panel offers to its models, and which of them the user wants to be asked about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widgets.tools.tool import Tool, ToolResult

APPROVALS = ("ask", "always")


class Toolbox:
    """Tools by name.

    Args:
        tools: Functions, or `widgets.tools.tool.Tool`s.
        approve: "ask" to have the user allow each call, "always" to let all run.

    Raises:
        ValueError: `approve` is neither, or a function cannot be a tool.
    """

    def __init__(self, tools: Iterable[Callable[..., Any] | Tool] = (), approve: str = "ask") -> None:
        if approve not in APPROVALS:
            raise ValueError(f'approve is {approve!r}; it must be "ask" or "always".')
        tools = list(tools)
        self._tools: dict[str, Tool] = {}
        if tools:
            from widgets.tools.tool import tools_of  # takes a while to load, for nothing in most panels

            self._tools = tools_of(tools)
        self._asked = set(self._tools) if approve == "ask" else set()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What the model is told about the tools, in OpenAI's form."""
        return [tool.schema for tool in self._tools.values()]

    def describe(self) -> list[dict[str, str]]:
        """Return `name`, `description` and `approval` ("ask" or "always") of each tool."""
        return [
            {"name": tool.name, "description": tool.description, "approval": self._approval(tool.name)}
            for tool in self._tools.values()
        ]

    def has(self, name: str) -> bool:
        """True if there is a tool of this name."""
        return name in self._tools

    def asks(self, name: str) -> bool:
        """True if the user has to allow each call of this tool."""
        return name in self._asked

    def allow_always(self, name: str) -> None:
        """Let all coming calls of this tool run."""
        with self._lock:
            self._asked.discard(name)

    def call(self, name: str, arguments: str) -> ToolResult:
        """Run a tool on this thread.

        Args:
            name: Name of a tool.
            arguments: Its arguments as JSON text.
        """
        return self._tools[name].run(arguments)

    def refusal(self, name: str) -> str:
        """Return what a model is told that calls a tool which is not there."""
        return f"There is no tool {name!r}. There are: {', '.join(self._tools) or 'none'}."

    def _approval(self, name: str) -> str:
        return "ask" if self.asks(name) else "always"
