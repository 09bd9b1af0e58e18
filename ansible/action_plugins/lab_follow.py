"""Action plugin: shows a module's lines of progress in the terminal while it runs.

Ansible itself shows nothing until a module ends, which for a download can be an hour. Modules that write to their
`progress_log` (see module_utils/lab_progress.py) get this plugin by a link of their name. On another host than the
controller's the module runs the same, and its lines are in that file only.
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
        path = str(self._task.args.get("progress_log") or "")
        ended = threading.Event()
        local = self._connection.transport == "local" and bool(path) and not self._task.check_mode
        follower = threading.Thread(target=follow, args=(path, ended), daemon=True)
        if local:
            follower.start()
        try:
            return dict(self._execute_module(task_vars=task_vars))
        finally:
            ended.set()
            if local:
                follower.join(2 * INTERVAL_S)


def follow(path: str, ended: threading.Event) -> None:
    """Show the lines that are added to the file until `ended`."""
    display = Display()
    position = Path(path).stat().st_size if Path(path).exists() else 0
    last = False
    while not last:
        last = ended.wait(INTERVAL_S)
        try:
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                file.seek(position)
                lines = file.read().splitlines()
                position = file.tell()
        except OSError:
            continue
        for line in lines:
            display.display(f"  {line.partition(' ')[2].partition(' ')[2]}")
