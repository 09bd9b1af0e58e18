"""The tools that every panel has at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines
from tests.unit.widgets.conftest import Recorded, wait_for
from widgets.tools.ready import READY, describe_variable, read_file
from widgets.tools.tool import Tool


@pytest.fixture
def folder_of_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    monkeypatch.chdir(notebooks)
    (notebooks / "notes.txt").write_text("forty-two")
    (tmp_path / "secret.txt").write_text("hunter2")
    return notebooks


def told(function: Callable[..., Any], **arguments: str) -> str:
    return Tool.of(function).run(json.dumps(arguments)).text


def test_a_file_of_the_folder_is_read_and_no_other(folder_of_notebook: Path) -> None:
    assert told(read_file, path="notes.txt") == "forty-two"
    (folder_of_notebook / "link.txt").symlink_to("../secret.txt")
    (folder_of_notebook / ".env").write_text("hunter2")
    (folder_of_notebook / "long.txt").write_text("x" * 300_000)
    (folder_of_notebook / "picture.png").write_bytes(b"\x89PNG\xff")
    for path in ("../secret.txt", "/etc/passwd", "link.txt", ".env", ".", ""):
        assert "hunter2" not in told(read_file, path=path)
        assert "root:" not in told(read_file, path=path)
    assert "notes.txt" in told(read_file, path="absent.txt"), "it says what there is"
    assert "300,000 bytes" in told(read_file, path="long.txt")
    assert "is no text" in told(read_file, path="picture.png")


def test_a_variable_is_described_as_it_is_attached() -> None:
    shell = InteractiveShell.instance()
    shell.user_ns["frogs"] = pd.DataFrame({"name": ["tree frog"], "weight": [7.25]})
    assert "tree frog,7.25" in told(describe_variable, name="frogs")
    assert "no variable" in told(describe_variable, name="absent")
    InteractiveShell.clear_instance()


def test_the_log_is_not_asked_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
    assert "LAB_DATABASE_URL" in told(READY[0], sql="SELECT 1")


def test_ready_tools_are_offered_once_they_are_switched_on(panel: Recorded, hub: ScriptedHub) -> None:
    assert [(tool["name"], tool["on"]) for tool in panel.tools] == [(tool.__name__, False) for tool in READY]
    hub.reply = lambda body: Reply(answer_lines(["Hello"]))
    panel.ask("one").wait(10)
    panel.receive("tool", name="read_file", on=True)
    panel.receive("tool", name="nothing", on=True)
    wait_for(lambda: any(tool["on"] for tool in panel.tools))
    panel.ask("two").wait(10)
    panel.receive("tool", name="read_file", on=False)
    panel.ask("three").wait(10)
    offered = [[tool["function"]["name"] for tool in body.get("tools", ())] for body in hub.requests]
    assert offered == [[], ["read_file"], []]


def test_a_tool_of_ones_own_can_be_switched_off_and_keeps_its_approval(new_panel: Any) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    panel = new_panel(tools=[add], approve="always")
    panel.receive("tool", name="add", on=False)
    assert panel.tools[0] == {"name": "add", "description": "Add.", "on": False, "approval": "ask"}
    panel.receive("tool", name="add", on=True)
    assert panel.tools[0] == {"name": "add", "description": "Add.", "on": True, "approval": "always"}
