"""The tools that a panel offers to its models, and which of them the user wants to be asked about."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from widgets.tools.ready import READY

if TYPE_CHECKING:
    from widgets.tools.tool import Tool, ToolResult

APPROVALS = ("ask", "always")


class Toolbox:
    """Tools by name.

    Args:
        tools: Functions, or `widgets.tools.tool.Tool`s.
        approve: "ask" to have the user allow each call, "always" to let all run.
        ready: Functions that are offered once they are switched on; each call of theirs asks.

    Raises:
        ValueError: `approve` is neither, or a function cannot be a tool.
    """

    def __init__(
        self,
        tools: Iterable[Callable[..., Any] | Tool] = (),
        approve: str = "ask",
        ready: Iterable[Callable[..., Any]] = (),
    ) -> None:
        if approve not in APPROVALS:
            raise ValueError(f'approve is {approve!r}; it must be "ask" or "always".')
        self._tools: dict[str, Tool] = _made(list(tools))
        self._asked = set(self._tools) if approve == "ask" else set()
        self._off: dict[str, Callable[..., Any] | Tool] = {
            function.__name__: function for function in ready if function.__name__ not in self._tools
        }
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What the model is told about the tools, in OpenAI's form."""
        return [tool.schema for tool in self._tools.values()]

    def describe(self) -> list[dict[str, Any]]:
        """Return `name`, `description`, `on` (offered or not) and `approval` ("ask" or "always") of each tool."""
        on = [
            {"name": tool.name, "description": tool.description, "on": True, "approval": self._approval(tool.name)}
            for tool in self._tools.values()
        ]
        off = [
            {"name": name, "description": _description(tool), "on": False, "approval": self._approval(name, off=True)}
            for name, tool in self._off.items()
        ]
        return on + off

    def switch(self, name: str, on: bool) -> None:
        """Offer a tool, or offer it no more; one that is not there is left alone."""
        with self._lock:
            if on and name in self._off:
                tool = self._off.pop(name)
                if tool in READY:
                    self._asked.add(name)
                self._tools = {**self._tools, **_made([tool])}
            elif not on and name in self._tools:
                self._off = {name: self._tools[name], **self._off}
                self._tools = {other: tool for other, tool in self._tools.items() if other != name}

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

    def _approval(self, name: str, *, off: bool = False) -> str:
        return "ask" if off or self.asks(name) else "always"


def _made(tools: list[Callable[..., Any] | Tool]) -> dict[str, Tool]:
    if not tools:
        return {}
    from widgets.tools.tool import tools_of  # takes a while to load, for nothing in most panels

    return tools_of(tools)


def _description(tool: Callable[..., Any] | Tool) -> str:
    """The first paragraph of what a function does."""
    said = getattr(tool, "description", None) or inspect.getdoc(tool) or ""
    return " ".join(said.partition("\n\n")[0].split())
