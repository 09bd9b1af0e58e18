"""Panels against what real runtimes sent as they died: streams recorded behind LiteLLM."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.unit.client.conftest import RECORDINGS
from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines
from tests.unit.widgets.conftest import Recorded

CUT = [
    "llama_cpp/killed_midstream",
    "llama_cpp/client_leaves",
    "ollama/smollm2_runner_killed_midstream",
    "ollama/smollm2_runtime_terminated_midstream",
    "ollama/smollm2-v1_runtime_terminated_midstream",
]


def recorded(name: str) -> list[str]:
    response = json.loads((RECORDINGS / f"{name}.json").read_text())["response"]
    return [part["line"] for part in response["body"] if "line" in part]


@pytest.mark.parametrize("name", CUT)
def test_what_had_arrived_is_kept_and_a_retry_is_offered_and_works(
    new_panel: Callable[..., Recorded], hub: ScriptedHub, name: str
) -> None:
    lines = recorded(name)
    hub.reply = lambda body: Reply(lines)
    panel = new_panel()
    panel.receive("ask", text="Say hi.")
    panel.done()
    cut = panel.view.entries[-1]
    assert (cut["state"], cut["retry"]) == ("cut", True)
    assert cut["text"]
    assert cut["reason"].startswith(("The answer broke off", "The answer ended without"))
    assert cut["remedy"]
    hub.reply = lambda body: Reply(answer_lines(["whole"]))
    panel.receive("retry", id=cut["id"])
    panel.done()
    assert panel.view.entries[-1]["text"] == "whole"
    panel.receive("branch", id=panel.view.entries[-1]["id"], step=-1)
    assert panel.view.entries[-1]["text"] == cut["text"]
