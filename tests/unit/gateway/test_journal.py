from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from litellm_hub.gateway.journal import Journal, JournalError, decode, encode

SECONDS = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal(folder)
    yield opened
    opened.close()


def write(journal: Journal, *names: str) -> None:
    for waiting in [journal.append({"id": name}) for name in names]:
        waiting.result(SECONDS)


def ids(journal: Journal) -> list[str]:
    return [entry["id"] for entry in journal.read(journal.waiting())]


def crashed(folder: Path) -> None:
    """Leave the directory as a killed process does: unlocked, nothing tidied."""
    (folder / "lock").unlink()


def test_an_entry_is_on_disk_when_its_future_is_done(journal: Journal, folder: Path) -> None:
    write(journal, "a")
    (segment,) = folder.glob("*.journal")
    assert decode(segment.read_bytes()) == {"id": "a"}


def test_entries_of_a_killed_process_are_found_in_order(journal: Journal, folder: Path) -> None:
    write(journal, "a", "b")
    crashed(folder)
    again = Journal(folder)
    write(again, "c")
    assert ids(again) == ["a", "b", "c"]
    again.close()


def test_a_torn_last_line_hurts_no_other_entry(journal: Journal, folder: Path) -> None:
    write(journal, "a", "b")
    (segment,) = folder.glob("*.journal")
    torn = segment.read_bytes()[:-3]
    segment.write_bytes(torn)
    crashed(folder)
    again = Journal(folder)
    write(again, "c")
    assert ids(again) == ["a", "c"]
    again.close()


def test_a_damaged_line_is_skipped_and_its_file_kept(journal: Journal, folder: Path) -> None:
    write(journal, "a", "b", "c")
    (segment,) = folder.glob("*.journal")
    segment.write_bytes(segment.read_bytes().replace(b'"b"', b'"x"'))
    crashed(folder)
    again = Journal(folder)
    assert ids(again) == ["a", "c"]
    again.settle(again.waiting())
    assert not list(folder.glob("*.journal"))
    assert [path.stem for path in folder.glob("*.damaged")] == [segment.stem]
    again.close()


def test_a_segment_is_finished_when_all_its_entries_are_settled_and_deleted_when_told(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=1)
    for name in ("a", "b", "c"):
        write(journal, name)
    first, second, third = sorted(path.name for path in folder.glob("*.journal"))
    journal.settle(journal.waiting()[:1])
    assert journal.finished() == [first]
    journal.delete([first])
    assert journal.finished() == []
    journal.settle(journal.waiting()[1:])  # the newest is still written to
    assert ids(journal) == ["b"]
    assert journal.finished() == []
    journal.settle(journal.waiting())
    assert journal.finished() == [second]
    assert [path.name for path in folder.glob("*.journal")] == [third]
    journal.close()
    assert sorted(journal.finished()) == [second, third]


def test_segments_that_the_ledger_has_not_forgotten_are_found_again(folder: Path) -> None:
    journal = Journal(folder)
    write(journal, "a")
    journal.settle(journal.waiting())
    journal.close()
    again = Journal(folder)
    assert ids(again) == []
    assert len(again.finished()) == 1
    again.close()


def test_closing_keeps_what_was_not_applied(journal: Journal, folder: Path) -> None:
    write(journal, "a")
    other = Journal(folder.with_name("other"))
    write(other, "b")
    other.close()
    assert ids(Journal(other.directory)) == ["b"]


def test_two_processes_never_use_one_directory(journal: Journal, folder: Path) -> None:
    with pytest.raises(JournalError, match="Another gateway process uses the journal"):
        Journal(folder)


def test_files_are_for_their_owner_alone(journal: Journal, folder: Path) -> None:
    write(journal, "a")
    journal.set_aside({"id": "a"}, "why")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_full_disk_fails_the_call_and_is_got_over(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, "a")
    real = os.write
    calls: list[int] = []

    def full(file: int, data: bytes) -> int:
        calls.append(file)
        if len(calls) == 1:
            return real(file, bytes(data)[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="disk is full"):
            write(journal, "b")
    write(journal, "c")
    assert ids(journal) == ["a", "c"]
    crashed(folder)
    again = Journal(folder)
    assert ids(again) == ["a", "c"]
    again.close()


def test_after_a_failed_sync_nothing_is_appended_to_that_file(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, "a")

    def broken(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(JournalError, match="Input/output error"):
            write(journal, "b")
    write(journal, "c")
    assert len(list(folder.glob("*.journal"))) == 2
    assert ids(journal) == ["a", "c"]


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot use .*file"):
        Journal(tmp_path / "file")


@pytest.mark.parametrize("line", [b"", b"\n", b"00000000 {}\n", encode({"a": 1})[:-1], encode({"a": 1})[1:]])
def test_a_line_without_its_checksum_is_no_entry(line: bytes) -> None:
    with pytest.raises(ValueError, match="checksum"):
        decode(line)


def test_any_text_survives_as_one_line() -> None:
    entry = {"id": "zeile\nzwei \x00 \ud800 ✓"}
    assert encode(entry).count(b"\n") == 1
    assert decode(encode(entry)) == entry


def test_entries_set_aside_are_counted_over_restarts(journal: Journal, folder: Path) -> None:
    journal.set_aside({"id": "a"}, "why")
    crashed(folder)
    again = Journal(folder)
    again.set_aside({"id": "b"}, "why")
    assert again.set_aside_count == 2
    again.close()


def test_segments_that_somebody_puts_into_the_folder_are_left_alone(folder: Path) -> None:
    journal = Journal(folder)
    stranger = folder / "00000000000000000001.journal"
    stranger.write_bytes(encode({"id": "stranger"}))
    write(journal, "a")
    journal.settle(journal.waiting())
    journal.close()
    assert stranger.exists()
    again = Journal(folder)
    assert ids(again) == ["stranger"]
    again.close()
