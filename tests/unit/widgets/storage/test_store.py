"""Conversations on disk, and who may write them."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.widgets.conftest import wait_for
from widgets.conversations.conversation import Conversation
from widgets.conversations.library import INTERVAL, Library
from widgets.storage.document import Attached, Call, Ending, State, parse
from widgets.storage.store import Store, StoreError

ROOT = Path(__file__).parents[4]


@pytest.fixture
def library(folder: Path) -> Library:
    return Library.at()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def say(conversation: Conversation, prompt: str, text: str) -> str:
    answer = conversation.ask(prompt, "m")
    conversation.add(answer, text)
    conversation.end(answer, Ending(State.DONE))
    return answer


def saved(folder: Path, conversation_id: str) -> Conversation:
    return Conversation(parse((folder / f"{conversation_id}.json").read_bytes()))


@pytest.fixture
def other_kernel() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Run code in another process until it prints a line; it ends with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        process.first_line = process.stdout.readline().strip()  # type: ignore[attr-defined]
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_what_is_said_is_saved_by_itself_readable_by_its_owner_alone(library: Library, folder: Path) -> None:
    session = library.new()
    assert not folder.exists(), "an empty conversation leaves nothing behind"
    os.umask(0)
    say(session.conversation, "Hello", "Hi")
    path = folder / f"{session.id}.json"
    wait_for(lambda: path.exists() and saved(folder, session.id).document() == session.conversation.document())
    assert (mode(folder), mode(path)) == (0o700, 0o600)
    library.release(session)
    assert [entry.name for entry in folder.iterdir()] == [path.name], "neither locks nor temporary files stay"


def test_an_answer_that_grows_is_saved_at_once_and_then_at_intervals(library: Library, folder: Path) -> None:
    session = library.new()
    writes: list[float] = []
    write = library.store.write
    library.store.write = lambda *args: (writes.append(time.monotonic()), write(*args))[1]  # type: ignore[method-assign]
    answer = session.conversation.ask("Go on", "m")
    wait_for(lambda: len(writes) >= 1)
    library.flush()
    wait_for(lambda: not library._due)  # the prompt's own saving is over
    del writes[:-1]
    start = time.monotonic()
    while time.monotonic() - start < 2 * INTERVAL:
        session.conversation.add(answer, "word ")
        time.sleep(0.01)
    assert 2 <= len(writes) <= 3
    assert all(after - before >= INTERVAL * 0.99 for before, after in itertools.pairwise(writes))
    session.conversation.end(answer, Ending(State.DONE))
    wait_for(lambda: saved(folder, session.id).entries()[-1]["state"] == "done")
    library.release(session)


def test_panels_of_one_kernel_share_a_conversation(library: Library) -> None:
    session = library.new()
    say(session.conversation, "Hello", "Hi")
    assert library.open(session.id) is session
    library.release(session)
    library.release(session)
    assert library.open(session.id) is not session


def test_a_conversation_that_another_kernel_holds_opens_as_a_copy(
    library: Library, folder: Path, other_kernel: Callable[[str], subprocess.Popen[str]]
) -> None:
    session = library.new()
    say(session.conversation, "Hello", "Hi")
    name = session.id
    library.release(session)
    opening = f"s = Library.at().open({name!r}); print(s.id); input()"
    other = other_kernel(f"from widgets.conversations.library import Library; {opening}")
    copy = library.open(name)
    assert copy.id != name
    assert (copy.saving.state, copy.conversation.title) == ("copy", "Hello (copy)")
    assert "Another kernel" in copy.saving.reason
    assert not (folder / f"{copy.id}.json").exists(), "looking at it writes nothing"
    say(copy.conversation, "More", "Yes")
    wait_for(lambda: (folder / f"{copy.id}.json").exists() and copy.saving.state == "saved")
    assert len(saved(folder, name).entries()) == 2
    for forbidden in (lambda: library.rename(name, "Mine"), lambda: library.remove(name)):
        with pytest.raises(StoreError, match="Another kernel"):
            forbidden()
    other.kill()
    other.wait()
    library.release(copy)
    again = library.open(name)
    assert again.id == name, "the lock goes with the process"
    library.release(again)


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_kernel(
    library: Library, other_kernel: Callable[[str], subprocess.Popen[str]]
) -> None:
    session = library.new()
    say(session.conversation, "Hello", "Hi")
    library.release(session)
    code = (
        f"import os, time; from widgets.conversations.library import Library; s = Library.at().open({session.id!r})\n"
        "begun, tell = os.pipe()\nchild = os.fork()\n"
        "if child: os.read(begun, 1), print(child, flush=True)\nelse: os.write(tell, b'x')\ntime.sleep(60)"
    )
    other = other_kernel(code)
    child = int(other.first_line)  # type: ignore[attr-defined]
    try:
        other.kill()
        other.wait()
        again = library.open(session.id)
        assert again.id == session.id
        library.release(again)
    finally:
        os.kill(child, 9)


def test_conversations_are_listed_last_changed_first_and_searched_in_titles_and_texts(library: Library) -> None:
    names = []
    for prompt, text in [("Colours of the sea", "blue"), ("A “quoted”\nword", "Straße"), ("Third", "green and blue")]:
        session = library.new()
        say(session.conversation, prompt, text)
        names.append(session.id)
        library.release(session)
    assert [item.id for item in library.items()] == names[::-1]
    newest = library.items()[0]
    assert (newest.title, newest.entries, newest.snippet) == ("Third", 2, "green and blue")

    def found(query: str) -> list[str]:
        return [item.id for item in library.items(query)]

    assert found("BLUE") == [names[2], names[0]]
    assert found("blue green") == [names[2]]
    assert found("“quoted” strasse") == [names[1]]
    assert found("sea") == [names[0]]
    assert found("assistant") == [], "only what was said is searched, not the file's form"
    assert library.items("green")[0].snippet == "green and blue"
    library.rename(names[0], " Tints\n of water ")
    assert library.items("tints")[0].title == "Tints of water"
    library.remove(names[2])
    assert [item.id for item in library.items()] == [names[1], names[0]]


def test_a_list_tells_of_what_is_on_screen(library: Library) -> None:
    talk = library.new().conversation
    say(talk, "Three?", "Three.")
    again = talk.regenerate(talk.entries()[1]["id"], "m")
    talk.add(again, "A hidden version.")
    talk.end(again, Ending(State.DONE))
    talk.switch(again, -1)
    [item] = library.items()
    assert (item.entries, item.snippet) == (2, "Three.")
    assert library.items("hidden")[0].id == talk.id


def test_a_new_title_does_not_make_a_conversation_newer(library: Library) -> None:
    first, second = library.new(), library.new()
    say(first.conversation, "First", "1")
    say(second.conversation, "Second", "2")
    before = library.items()
    library.rename(first.id, "Renamed")
    assert [item.title for item in library.items()] == ["Second", "Renamed"]
    assert [item.updated for item in library.items()] == [item.updated for item in before]


@pytest.mark.parametrize(
    ("text", "snippet"),
    [
        ('```json\n{"name": "weight"}\n```', '{"name": "weight"}'),
        ("# Head\n\nUse **two** of `x`:\n\n~~~\n2**3**4\n# a comment", "Head Use two of x: 2**3**4 # a comment"),
        ("2**3 and 3**4", "2**3 and 3**4"),
    ],
)
def test_a_list_shows_words_and_not_their_markup(library: Library, text: str, snippet: str) -> None:
    say(library.new().conversation, "p", text)
    assert library.items()[0].snippet == snippet
    assert library.items(snippet.split()[0])[0].snippet == snippet


def test_files_that_are_no_conversations_are_left_alone_and_named(library: Library, folder: Path) -> None:
    folder.mkdir()
    texts = {"broken": '{"version": 1, "id', "newer": '{"version": 2, "id": "newer", "nodes": {}}', "foreign": "[]"}
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    (folder / "notes.txt").write_text("mine")
    (folder / "odd name!.json").write_text("mine")
    items = {item.id: item for item in library.items()}
    assert set(items) == set(texts)
    assert all(item.problem for item in items.values())
    assert "form 2" in items["newer"].problem
    assert library.items("version") == []
    for name, text in texts.items():
        with pytest.raises(StoreError, match="left as it is"):
            library.open(name)
        assert (folder / f"{name}.json").read_text() == text
    assert sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".lock") == []


@pytest.mark.parametrize("name", ["../secrets", "a/b", "", ".hidden", "x" * 65, "nul\0"])
def test_an_id_cannot_lead_out_of_the_folder(library: Library, name: str) -> None:
    for act in (library.open, library.remove, library.store.read):
        with pytest.raises(StoreError, match="is no id"):
            act(name)


def test_what_is_not_there_cannot_be_opened(library: Library) -> None:
    with pytest.raises(StoreError, match="no conversation 'gone'"):
        library.open("gone")


def test_a_full_disk_is_said_and_what_was_said_is_saved_once_there_is_room(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("widgets.conversations.library.PATIENCE", 0.05)
    session = library.new()
    told: list[str] = []
    session.watchers.append(lambda: told.append(session.saving.state))
    say(session.conversation, "Hello", "Hi")
    wait_for(lambda: (folder / f"{session.id}.json").exists())
    with monkeypatch.context() as full:
        full.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        say(session.conversation, "More", "Yes")
        wait_for(lambda: session.saving.state == "failed")
        assert "no space left" in session.saving.reason
        assert str(folder) in session.saving.remedy
        assert len(saved(folder, session.id).entries()) == 2, "the old file is whole"
        assert not list(folder.glob("*.part"))
        library.release(session)
    wait_for(lambda: session.saving.state == "saved")
    assert len(saved(folder, session.id).entries()) == 4
    assert told == ["failed", "saved"]


def test_a_saver_outlives_what_nobody_thought_of(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("widgets.conversations.library.PATIENCE", 0.05)
    session = library.new()
    with monkeypatch.context() as broken:
        broken.setattr("msgspec.json.encode", lambda _: 1 / 0)
        say(session.conversation, "Hello", "Hi")
        wait_for(lambda: session.saving.state == "failed")
        assert "ZeroDivisionError" in session.saving.reason
    wait_for(lambda: session.saving.state == "saved")
    assert len(saved(folder, session.id).entries()) == 2


@pytest.mark.parametrize("text", ["file\udce4name \ud83d", "\0", "x" * 10_000_000], ids=["surrogates", "nul", "long"])
def test_any_text_is_saved(library: Library, folder: Path, text: str) -> None:
    session = library.new()
    attached = Attached(name="s", kind="str", text=text, tokens=1)
    answer = session.conversation.ask(f"Hello {text}", "m", [attached])
    session.conversation.set_call(answer, Call(id="1", name="f", arguments=text, result=text, round=0, at=0))
    session.conversation.add(answer, text)
    session.conversation.end(answer, Ending(State.DONE))
    library.flush()
    assert session.saving.state == "saved"
    kept = text.encode("utf-8", "replace").decode()
    assert saved(folder, session.id).entries()[-1]["text"] == kept


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    library = Library.at(tmp_path / "file" / "chats")
    session = library.new()
    say(session.conversation, "Hello", "Hi")
    wait_for(lambda: session.saving.state == "failed")
    assert "cannot be" in session.saving.reason
    assert library.items() == []


def test_a_removed_conversation_does_not_come_back_from_a_panel_that_still_shows_it(
    library: Library, folder: Path
) -> None:
    session = library.new()
    say(session.conversation, "Hello", "Hi")
    library.flush()
    library.remove(session.id)
    say(session.conversation, "More", "Yes")
    library.flush()
    library.release(session)
    assert list(folder.iterdir()) == []


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GENAILABS_CHAT_FOLDER", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Store().folder == tmp_path / "genailabs-chat"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store().folder == tmp_path / ".local" / "share" / "genailabs-chat"
    assert Store("~/chats").folder == tmp_path / "chats"
