"""Action plugin: shows the module's lines of progress in the terminal while it runs.

Ansible itself shows nothing until a module ends, which for a download can be an hour. On another host than the
controller's the module runs the same, and its lines are in its `progress_log` only.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

INTERVAL_S = 0.5


class ActionModule(ActionBase):
    """Runs the module of the same name."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module and follow its log meanwhile."""
        super().run(tmp, task_vars)
        if self._connection.transport != "local" or self._task.check_mode:
            return dict(self._execute_module(task_vars=task_vars))
        ended = threading.Event()
        follower = threading.Thread(target=follow, args=(Path(self._task.args["progress_log"]), ended), daemon=True)
        follower.start()
        try:
            return dict(self._execute_module(task_vars=task_vars))
        finally:
            ended.set()
            follower.join(2 * INTERVAL_S)


def follow(path: Path, ended: threading.Event) -> None:
    """Show the lines that are added to the file until `ended`."""
    position = path.stat().st_size if path.exists() else 0
    last = False
    while not last:
        last = ended.wait(INTERVAL_S)
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(position)
                lines = file.read().splitlines()
                position = file.tell()
        except OSError:
            continue
        for line in lines:
            Display().display(f"  {line.partition(' ')[2].partition(' ')[2]}")
