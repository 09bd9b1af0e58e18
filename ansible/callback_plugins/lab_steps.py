"""Callback plugin: what a run looks like. A line for each step and its time, one error once, the rest in a log.

Nothing in the `ansible` package does that: community.general's `unixy`, `dense` and `selective` go by tasks and show
an error as Ansible has it. With -v everything is Ansible's own.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_steps
type: stdout
short_description: A line for each step, one error once, Ansible's own words in a log
description:
  - The log is in the folder genailabs of Ansible's home (C(~/.ansible)), which also names it where a run fails.
extends_documentation_fragment: [default_callback, result_format_callback]
"""

import os
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from ansible.playbook.block import Block
from ansible.plugins.callback.default import CallbackModule as AnsibleOwn

from ansible import constants

KEPT_LOGS = 20
WIDTH = 40


class Log:
    """Ansible's own output in a file that only its owner reads; addresses with a token come without it."""

    verbosity = 1

    def __init__(self, name: str):
        folder = Path(constants.ANSIBLE_HOME, "genailabs")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.log"), key=os.path.getmtime)[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
        descriptor, self.path = tempfile.mkstemp(".log", time.strftime(f"{name}-%Y%m%d-%H%M%S-"), folder)
        self.file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def display(self, message: object, *_: object, screen_only: bool = False, **__: object) -> None:
        """Write it, except what has a form of its own for logs."""
        if not screen_only:
            self.file.write(re.sub(r"(?<=token=)\w+", "…", str(message)) + "\n")

    warning = _warning = _deprecated = _error = deprecated = error = v = vv = vvv = vvvv = display

    def banner(self, message: str, *_: object, **__: object) -> None:
        """Write a heading."""
        self.display(f"\n{time.strftime('%H:%M:%S')} {message}")


class CallbackModule(AnsibleOwn):
    """Ansible's own output, which goes to the log, and beside it the steps."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "lab_steps"

    def __init__(self):
        super().__init__()
        self.screen = self._display
        self.began = self.step_began = time.monotonic()
        self.title = self.task = ""
        self.number = self.plays = 0
        self.lines: list[str] = []  # what the step has to say
        self.errors: dict[str, tuple[str, str]] = {}  # of each host the first: task and reason
        self.hosts = 1
        self.live = not self.screen.verbosity and sys.stdout.isatty()

    def v2_playbook_on_start(self, playbook):
        if not self.screen.verbosity:
            self._display = Log(Path(playbook._file_name).stem)
        if self.live:
            self.show = self.screen.display
            self.screen.display = self.show_alone
            threading.Thread(target=self.tick, daemon=True).start()
        self.plays = len(playbook.get_plays())
        super().v2_playbook_on_start(playbook)

    def tick(self) -> None:
        """Show every second what is being done, for how long."""
        while True:
            with self.screen._lock:
                if self.title:
                    text = f"{self.title:<{WIDTH}}{duration(time.monotonic() - self.step_began):>10}  {self.task}"
                    sys.stdout.write(f"\r\x1b[2K{text[: shutil.get_terminal_size().columns - 1]}")
                    sys.stdout.flush()
            time.sleep(1)

    def show_alone(self, *arguments, **options):
        """Display anything from the line's beginning, where the step stands that is being done."""
        with self.screen._lock:
            sys.stdout.write("\r\x1b[2K")
            self.show(*arguments, **options)
            sys.stdout.flush()

    def say(self, text: str, color: str | None = None) -> None:
        """Print now, wherever the output goes."""
        if not self.screen.verbosity:
            self.screen.display(text, color=color)
            sys.stdout.flush()

    def end_step(self, color: str | None = None) -> None:
        """Print the step's line and what it had to say."""
        took = time.monotonic() - self.step_began
        if self.title:
            self.say(f"{self.title:<{WIDTH}}{duration(took):>10}", color)
        for line in self.lines:
            self.say(line)
        self.title, self.lines, self.step_began = "", [], time.monotonic()

    def v2_playbook_on_play_start(self, play):
        super().v2_playbook_on_play_start(play)
        self.hosts = len(play.get_variable_manager()._inventory.get_hosts(play.hosts))
        self.end_step()
        self.number += 1
        self.title = f"{self.number}/{self.plays} {play.get_name()}"

    def v2_playbook_on_task_start(self, task, is_conditional):
        super().v2_playbook_on_task_start(task, is_conditional)
        self.task = "" if task.action.rpartition(".")[2] in ("gather_facts", "validate_argument_spec") else task.name

    def v2_runner_on_start(self, host, task):
        super().v2_runner_on_start(host, task)
        if is_rescue(task):
            self.errors.pop(host.get_name(), None)

    def v2_playbook_on_vars_prompt(self, *_arguments, **_options):
        self.end_step()

    def v2_runner_on_ok(self, result):
        words = result.result.get("msg", "")
        if result.task.action in constants._ACTION_DEBUG:
            self.lines += self.of_host(result, "\n".join(words) if isinstance(words, list) else str(words)).splitlines()
        elif result.task.check_mode and result.result.get("changed"):
            self.lines.append(self.of_host(result, f"would change: {result.task.name}"))
        super().v2_runner_on_ok(result)

    def v2_on_file_diff(self, result):
        super().v2_on_file_diff(result)
        for found in result.result.get("results", [result.result]):
            if found.get("diff") and found.get("changed"):
                self.lines += self._get_diff(found["diff"]).splitlines()

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self.keep_error(result)
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result):
        self.keep_error(result)
        super().v2_runner_on_unreachable(result)

    def keep_error(self, result) -> None:
        """Keep a host's first error: what else goes wrong follows from it."""
        self.errors.setdefault(result.host.get_name(), (result.task.name, self.of_host(result, reason(result.result))))

    def of_host(self, result, text: str) -> str:
        """The text, with the host's name where there are several."""
        return f"{result.host.get_name()}: {text}" if self.hosts > 1 else text

    def v2_playbook_on_stats(self, stats):
        super().v2_playbook_on_stats(stats)
        self.end_step(constants.COLOR_ERROR if self.errors else None)
        for task, why in self.errors.values():
            self.say(f"\n{why}", constants.COLOR_ERROR)
            self.say(f"(at: {task}. All that Ansible said: {getattr(self._display, 'path', 'above')})\n")
        for host in sorted(stats.processed):
            counted = {"unreachable": 0, "failures": 0, **stats.summarize(host)}
            counted["failed"] = counted.pop("failures")
            words = " ".join(f"{name}={counted[name]}" for name in ("ok", "changed", "failed", "unreachable"))
            self.say(f"{host}: {words} in {duration(time.monotonic() - self.began)}")


def is_rescue(task) -> bool:
    """Whether the task makes good another one's failure, whose error is then no longer the one to show."""
    below, block = task, task._parent
    while block is not None:
        if isinstance(block, Block) and any(below._uuid == other._uuid for other in block.rescue):
            return True
        below, block = block, block._parent
    return False


def reason(result: dict) -> str:
    """Cause and remedy in the words of whoever failed, each once."""
    failed = [item for item in result.get("results", []) if item.get("failed")] or [result]
    return "\n".join(dict.fromkeys(map(one_reason, failed)))


def one_reason(result: dict) -> str:
    """The words of one failure."""
    if "censored" in result:
        return "What went wrong is not shown: it may hold a secret."
    words = str(result.get("msg", "")).removeprefix("Task failed: ").removeprefix("Module failed: ").strip()
    told = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "").strip()
    return f"{words}\n{told[-2000:]}" if told and told not in words else words


def duration(seconds: float) -> str:
    """Seconds in words."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
