"""What views may ask of a chat panel, with a reply."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines
from tests.unit.widgets.conftest import Recorded, wait_for
from widgets.context import remote

NewPanel = Callable[..., Recorded]


@pytest.fixture
def variables() -> Any:
    """The variables of a notebook."""
    shell = InteractiveShell.instance()
    yield shell.user_ns
    InteractiveShell.clear_instance()


def test_conversations_are_listed_searched_opened_and_renamed(panel: Recorded, hub: ScriptedHub) -> None:
    hub.reply = lambda body: Reply(answer_lines(["It is blue."]))
    panel.ask("Colour of the sea?").wait(10)
    first = panel.conversation
    assert panel.request("new")["id"] != first
    assert panel.request("new")["id"] == panel.conversation, "an empty conversation is not left for another"
    panel.ask("Second").wait(10)
    reply = panel.request("conversations", query="")
    assert [item["title"] for item in reply["items"]] == ["Second", "Colour of the sea?"]
    assert reply["current"] == panel.conversation
    found = panel.request("conversations", query="sea")["items"]
    assert [(item["id"], item["entries"]) for item in found] == [(first, 2)]
    assert panel.request("rename", id=first, title="The sea")["ok"]
    opened = panel.request("open", id=first)
    assert (opened["ok"], opened["id"], opened["note"]) == (True, first, "")
    assert panel.view.conversation == {"id": first, "title": "The sea"}
    assert [entry["text"] for entry in panel.view.entries] == ["Colour of the sea?", "It is blue."]
    panel.request("rename", id=first, title="Deep sea")
    assert panel.view.conversation["title"] == "Deep sea"
    refused = panel.request("rename", id=first, title=" ")
    assert (refused["ok"], refused["reason"]) == (False, "The title is blank.")


def test_the_kernel_tells_how_much_memory_it_uses(panel: Recorded) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    told = panel.request("memory")["bytes"]
    assert told == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1)


def test_a_removed_conversation_leaves_the_screen_and_the_disk(panel: Recorded, folder: Path) -> None:
    panel.ask("Hello").wait(10)
    gone = panel.conversation
    assert panel.request("remove", id=gone)["ok"]
    assert panel.view.entries == []
    assert panel.conversation != gone
    assert panel.request("conversations", query="")["items"] == []
    assert not list(folder.glob(f"*{gone}*"))
    refused = panel.request("open", id=gone)
    assert not refused["ok"]
    assert "no conversation" in refused["reason"]
    assert not panel.request("open", id="../../etc/passwd")["ok"]


@pytest.mark.parametrize(
    ("kind", "ending", "part"),
    [
        ("markdown", ".md", "# Colour of the sea?"),
        ("notebook", ".ipynb", '"nbformat": 4'),
        ("json", ".json", '"nodes"'),
    ],
)
def test_a_conversation_is_exported(panel: Recorded, kind: str, ending: str, part: str) -> None:
    panel.ask("Colour of the sea?").wait(10)
    for name in (panel.conversation, ""):
        reply = panel.request("export", id=name, format=kind)
        assert reply["name"] == f"Colour-of-the-sea{ending}"
        assert part in reply["text"]
    other = panel.conversation
    panel.request("new")
    assert panel.request("export", id=other, format=kind)["text"] == reply["text"]
    assert "There are: markdown" in panel.request("export", id=other, format="pdf")["remedy"]


def test_what_was_exported_comes_back_as_a_conversation_of_its_own(panel: Recorded) -> None:
    panel.ask("Hello").wait(10)
    panel.receive("regenerate", id=panel.messages[1]["id"])
    panel.done()
    original = panel.conversation
    text = panel.request("export", id=original, format="json")["text"]
    reply = panel.request("import", name="hello.json", text=text)
    assert reply["id"] != original
    panel.request("open", id=reply["id"])
    assert [entry["text"] for entry in panel.view.entries] == ["Hello", "Hello"]
    assert panel.view.entries[1]["branch"] == {"index": 1, "count": 2}
    refused = panel.request("import", name="broken.json", text="{")
    assert "broken.json cannot be imported" in refused["reason"]
    assert len(panel.request("conversations", query="")["items"]) == 2


def test_names_of_variables_are_completed(panel: Recorded, variables: dict[str, Any]) -> None:
    variables["sales"] = [1, 2, 3]
    assert panel.request("complete", prefix="sal")["items"] == [
        {"name": "sales", "kind": "list", "summary": "list, 3 items"}
    ]


def test_the_preview_is_what_is_sent_with_its_size_and_cost(
    panel: Recorded, hub: ScriptedHub, variables: dict[str, Any]
) -> None:
    variables["sales"] = [1, 2, 3]
    panel.ask("Before").wait(10)
    panel.system_prompt = "Be kind."
    preview = panel.request("preview", text="Add them.", attachments=["sales"])
    kinds = [item["kind"] for item in preview["items"]]
    assert kinds == ["system", "history", "list", "prompt"]
    assert preview["tokens"] == sum(item["tokens"] for item in preview["items"])
    panel.receive("ask", text="Add them.", attachments=["sales"])
    wait_for(lambda: len(hub.requests) == 2)
    panel.done()
    sent = [message["content"] for message in hub.requests[-1]["messages"]]
    assert sent[0] == preview["items"][0]["text"]
    assert sent[-1] == "\n\n".join(item["text"] for item in preview["items"][2:])
    assert panel.view.entries[-2]["attachments"][0]["name"] == "sales"
    refused = panel.request("preview", text="x", attachments=["nothing"])
    assert "no variable “nothing”" in refused["reason"]


def test_a_prompt_with_a_variable_that_is_gone_is_kept_and_fails_readably(
    panel: Recorded, hub: ScriptedHub, variables: dict[str, Any]
) -> None:
    panel.receive("ask", text="Add them.", attachments=["nothing"])
    wait_for(lambda: len(panel.messages) == 2)
    panel.done()
    assert panel.view.entries[0]["text"] == "Add them."
    assert (panel.view.entries[1]["state"], hub.requests) == ("failed", [])
    assert "no variable “nothing”" in panel.view.entries[1]["reason"]


def test_a_request_that_fails_in_an_unknown_way_is_answered_all_the_same(
    panel: Recorded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(panel.session.library, "items", lambda query: 1 / 0)
    reply = panel.request("conversations", query="")
    assert "ZeroDivisionError" in reply["reason"]
    assert "ZeroDivisionError" in caplog.text


def test_a_broken_file_is_listed_with_its_problem(panel: Recorded, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "broken.json").write_text("{")
    item = panel.request("conversations", query="")["items"][0]
    assert item["id"] == "broken"
    assert "no conversation" in item["problem"]
    assert "left as it is" in panel.request("open", id="broken")["remedy"]
    assert json.loads(json.dumps(item)) == item


def test_a_panel_goes_on_with_what_its_cell_showed_before(new_panel: NewPanel, hub: ScriptedHub) -> None:
    before, after = new_panel(), new_panel()
    before.ask("Hello").wait(10)
    after.request("continue", id=before.conversation)
    assert after.conversation == before.conversation
    before.ask("Else").wait(10)
    other = new_panel()
    other.ask("Mine").wait(10)
    mine = other.conversation
    other.request("continue", id=before.conversation)
    assert other.conversation == mine, "what is there is not left for another"
    assert not new_panel().request("continue", id="gone")["ok"]


def test_a_ping_is_answered_at_once(panel: Recorded) -> None:
    panel.sent.clear()
    panel.receive("ping")
    assert panel.sent == [{"type": "pong"}]


def test_what_another_kernel_told_goes_along(panel: Recorded, hub: ScriptedHub) -> None:
    told = [{"name": "df", "kind": "DataFrame", "text": "df is \udce4 frame", "tokens": 1}, {"name": "x"}, "no item"]
    assert [item["name"] for item in panel.request("preview", text="Hello", attached=told)["items"]] == ["df", "prompt"]
    panel.receive("ask", text="Hello", attached=told)
    panel.done()
    assert hub.requests[0]["messages"][-1]["content"] == "df is ? frame\n\nHello"
    assert panel.view.entries[0]["attachments"][0]["name"] == "df"


def test_another_kernel_tells_its_variables_as_json(variables: dict[str, Any]) -> None:
    variables["frogs"] = [10000001.5]
    assert {"name": "frogs", "kind": "list", "summary": "list, 1 item"} in json.loads(repr(remote.offered("fr")))
    [described] = json.loads(repr(remote.described(["frogs"], None)))
    assert "10000001.5" in described["text"]
