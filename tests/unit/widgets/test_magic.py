"""The cell magic, in a real IPython shell (without a kernel, so that answers are written as text)."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk
from tests.unit.widgets.conftest import KEY, wait_for
from widgets.conversations.library import Library

Run = Callable[[str], str]


@pytest.fixture
def shell(hub: ScriptedHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("LITELLM_BASE_URL", hub.url)
    monkeypatch.setenv("LITELLM_API_KEY", KEY)
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "widgets")
    yield made
    made.extension_manager.unload_extension("widgets")
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a cell and return what it writes, errors included."""

    def cell(source: str) -> str:
        shell.run_cell(source)
        written = capsys.readouterr()
        assert "Traceback" not in written.out + written.err
        return written.out + written.err

    return cell


def test_a_cell_is_a_prompt_and_its_answer_the_output(run: Run, hub: ScriptedHub, shell: InteractiveShell) -> None:
    written = run("%%chat -t 0.5 -n 9 --system 'Be kind.' --to reply\nSay {hello}.\n")
    assert written.startswith("Hello\n")
    assert "scripted · " in written
    assert "1 out · $0.0000036" in written
    body = hub.requests[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("scripted", 0.5, 9)
    assert [message["content"] for message in body["messages"]] == ["Be kind.", "Say {hello}."]
    assert shell.user_ns["reply"] == "Hello"


def test_cells_make_one_conversation_until_a_new_one_is_wanted(run: Run, hub: ScriptedHub) -> None:
    for line in ("%%chat", "%%chat", "%%chat --new"):
        run(f"{line}\nAgain")
    assert [len(body["messages"]) for body in hub.requests] == [1, 3, 1]
    items = Library.at().items()
    assert sorted(item.entries for item in items) == [2, 4]


def test_the_line_magic_shows_the_conversation_in_a_panel(run: Run, shell: InteractiveShell) -> None:
    run("%%chat\nHi")
    panel = shell.run_line_magic("chat", "")
    assert [message["content"] for message in panel.messages] == ["Hi", "Hello"]
    panel.close()


def test_a_variable_goes_along(run: Run, hub: ScriptedHub) -> None:
    run("numbers = [1, 2, 3]")
    run("%%chat --attach numbers\nAdd them up.")
    content = hub.requests[0]["messages"][0]["content"]
    assert "[1, 2, 3]" in content
    assert content.endswith("\n\nAdd them up.")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%chat\n \n", "blank"),
        ("%%chat --dance\nHi", "unrecognized arguments: --dance"),
        ("%%chat -t warm\nHi", "invalid float"),
        ("%%chat --to 3d\nHi", "no name of a variable"),
        ("%%chat --attach nothing\nHi", "no variable “nothing”"),
    ],
)
def test_what_is_wrong_is_said_in_words(run: Run, hub: ScriptedHub, cell: str, message: str) -> None:
    assert message in run(cell)
    assert hub.requests == []


def test_a_hub_that_is_gone_or_fails_is_said_in_words(
    run: Run, hub: ScriptedHub, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.reply = lambda body: Reply([chunk("half")], ending="lost")
    written = run("%%chat --to reply\nHi")
    assert written.startswith("half")
    assert "broke off" in written
    assert shell.user_ns["reply"] == "half"
    monkeypatch.setenv("LITELLM_BASE_URL", "http://127.0.0.1:9/v1")
    assert "Nothing answers" in run("%%chat\nHi")
    monkeypatch.delenv("LITELLM_BASE_URL")
    assert "Set LITELLM_BASE_URL" in run("%%chat\nHi")


def signalled() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize("sent", [signalled, _thread.interrupt_main], ids=["while it waits", "just before it waits"])
def test_an_interrupt_stops_the_answer(
    run: Run, hub: ScriptedHub, shell: InteractiveShell, sent: Callable[[], None]
) -> None:
    hub.reply = lambda body: Reply([*answer_lines(["half "])[:1]], ending="silent")

    def interrupt() -> None:
        wait_for(lambda: bool(hub.requests))
        talk = next(iter(Library.at()._open.values())).conversation
        wait_for(lambda: bool(talk.entries()[-1]["text"]))
        sent()

    thread = threading.Thread(target=interrupt)
    thread.start()
    written = run("%%chat\nGo on")
    thread.join()
    assert written.startswith("half ")
    assert "Stopped." in written
    assert hub.left.wait(5)
