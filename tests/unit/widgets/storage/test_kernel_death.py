"""A kernel that is killed in the middle of an answer."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk
from tests.unit.widgets.conftest import KEY, Recorded, wait_for

ROOT = Path(__file__).parents[4]
KERNEL = """
from widgets import ChatPanel
panel = ChatPanel(base_url={url!r}, api_key={key!r}, model="scripted")
print(panel.conversation, flush=True)
panel.ask("First").wait(20)
panel.ask("Second").wait(60)
"""
PAUSE = 0.02  # seconds between two words of the second answer


class Words:
    """The second answer, endless, and how much of it has left."""

    def __init__(self) -> None:
        self.sent = 0

    def __iter__(self) -> Iterator[str]:
        for number in itertools.count():
            yield chunk(f"{number} ")
            self.sent = number + 1

    def reply(self, body: dict[str, Any]) -> Reply:
        return Reply(self, pause=PAUSE) if len(body["messages"]) > 1 else Reply(answer_lines(["whole"]))  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [60, 130])
def test_all_finished_messages_and_the_partial_one_up_to_a_second_are_there(
    hub: ScriptedHub, folder: Path, words: int
) -> None:
    script = Words()
    hub.reply = script.reply
    command = [sys.executable, "-c", KERNEL.format(url=hub.url, key=KEY)]
    kernel = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert kernel.stdout is not None
        name = kernel.stdout.readline().strip()
        wait_for(lambda: script.sent >= words, timeout=60)
        kernel.send_signal(signal.SIGKILL)
        sent = script.sent
    finally:
        kernel.kill()
        kernel.communicate()
    assert hub.left.wait(5)
    panel = Recorded(base_url=hub.url, api_key=KEY, conversation=name)
    first, whole, second, partial = panel.messages
    assert (first["content"], whole["content"], whole["state"]) == ("First", "whole", "done")
    assert (second["content"], partial["state"]) == ("Second", "cut")
    assert "kernel ended" in partial["error"]
    kept = len(partial["content"].split())
    assert partial["content"] == "".join(f"{number} " for number in range(kept))
    assert sent - kept <= 1 / PAUSE, "more than a second of the answer is lost"
    hub.reply = lambda body: Reply(answer_lines(["now whole"]))
    panel.receive("replay")
    panel.receive("retry", id=partial["id"])
    panel.done()
    assert panel.view.entries[-1]["text"] == "now whole"
    panel.close()
