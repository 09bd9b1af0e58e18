"""The tree of prompts and answers: branches, and the path through them that is on screen."""

from __future__ import annotations

from widgets.storage.document import Answer, Prompt

AnyNode = Prompt | Answer


class Tree:
    """Nodes by id, and which branch is chosen at each fork. Not thread-safe; `Conversation` guards it.

    Attributes:
        nodes: All nodes by id; each comes after its parent.
        path: Ids of the nodes on screen, oldest first.
    """

    def __init__(self, nodes: list[AnyNode], current: str | None) -> None:
        self.nodes: dict[str, AnyNode] = {}
        self.path: list[str] = []
        self._children: dict[str | None, list[str]] = {None: []}
        self._chosen: dict[str | None, str] = {}
        for node in nodes:
            self._insert(node)
        self._show(current)

    def add(self, node: AnyNode) -> None:
        """Add a node under its parent and show it. The parent must be None or known, the id new."""
        self._insert(node)
        self._show(node.id)

    def remove(self, node_id: str) -> None:
        """Remove a node and all that follows it; a neighbouring branch, if there is one, is shown instead."""
        parent = self.nodes[node_id].parent
        siblings = self._children[parent]
        place = siblings.index(node_id)
        siblings.pop(place)
        doomed = [node_id]
        while doomed:
            gone = doomed.pop()
            doomed += self._children.pop(gone)
            del self.nodes[gone]
            self._chosen.pop(gone, None)
        if self._chosen[parent] == node_id:
            del self._chosen[parent]
            if siblings:
                self._chosen[parent] = siblings[max(0, place - 1)]
        self._follow()

    def switch(self, node_id: str, step: int) -> bool:
        """Show the branch `step` places after that of `node_id`; False if there is none."""
        parent = self.nodes[node_id].parent
        siblings = self._children[parent]
        place = siblings.index(node_id) + step
        if not 0 <= place < len(siblings):
            return False
        self._show(siblings[place])
        return True

    def branch(self, node_id: str) -> tuple[int, int]:
        """Return which branch of its fork a node is, from 0, and how many there are."""
        siblings = self._children[self.nodes[node_id].parent]
        return siblings.index(node_id), len(siblings)

    def line(self, node_id: str | None) -> list[AnyNode]:
        """Return the nodes that lead to a node, the first prompt first, itself last."""
        found: list[AnyNode] = []
        while node_id is not None:
            node = self.nodes[node_id]
            found.append(node)
            node_id = node.parent
        return found[::-1]

    def depth(self, node_id: str) -> int:
        """Return how many nodes come before a node."""
        return len(self.line(node_id)) - 1

    def has_children(self, node_id: str) -> bool:
        """True if something follows the node."""
        return bool(self._children[node_id])

    def _insert(self, node: AnyNode) -> None:
        self._children[node.parent].append(node.id)
        self._children[node.id] = []
        self._chosen[node.parent] = node.id
        self.nodes[node.id] = node

    def _show(self, node_id: str | None) -> None:
        for node in self.line(node_id):
            self._chosen[node.parent] = node.id
        self._follow()

    def _follow(self) -> None:
        self.path = []
        at = self._chosen.get(None)
        while at is not None:
            self.path.append(at)
            at = self._chosen.get(at)
