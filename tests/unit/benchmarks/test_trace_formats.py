"""Public traces are read line by line, and a damaged one says where it is damaged."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.usage.trace_formats import FIRST_DAY, TraceUnreadable, read_trace

TRACES = Path(__file__).parent / "traces"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
MOONCAKE = '{"timestamp": 1, "input_length": 2, "output_length": 3, "hash_ids": []}\n'


def test_an_azure_trace_is_read_with_its_own_times() -> None:
    found = list(read_trace(TRACES / "azure.csv"))
    assert len(found) == 60
    first = found[0]
    assert (first.line, first.prompt_tokens, first.completion_tokens) == (2, 374, 44)
    assert first.arrived == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)
    assert first.duration is None


def test_a_mooncake_trace_counts_milliseconds_from_the_start() -> None:
    found = list(read_trace(TRACES / "mooncake.jsonl"))
    assert [request.arrived - FIRST_DAY for request in found] == [
        timedelta(0),
        timedelta(milliseconds=27482),
        timedelta(milliseconds=30535),
    ]
    assert [(request.prompt_tokens, request.completion_tokens) for request in found] == [
        (6758, 500),
        (7322, 490),
        (17, 1),
    ]


def test_a_burstgpt_trace_tells_models_and_failures() -> None:
    found = list(read_trace(TRACES / "burstgpt.csv", start=datetime(2025, 5, 1, tzinfo=UTC)))
    assert [request.model for request in found] == ["ChatGPT", "ChatGPT", "GPT-4"]
    assert [request.failed for request in found] == [False, False, True]
    assert found[0].arrived == datetime(2025, 5, 1, 0, 0, 5, tzinfo=UTC)
    assert found[2].kind == "API log"


def test_a_burstgpt_release_with_elapsed_times_gives_durations() -> None:
    (found,) = read_trace(TRACES / "burstgpt_elapsed.csv")
    assert found.duration == 3.25
    assert found.arrived == FIRST_DAY + timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1: '' begins no known trace"),
        ("a,b,c\n1,2,3\n", "line 1: 'a,b,c' begins no known trace"),
        ("TIMESTAMP,ContextTokens\n", "line 1: the column GeneratedTokens is missing"),
        (AZURE + "2023-11-16 18:17:03,1,2\nyesterday,1,2\n", "line 3, column 'TIMESTAMP': 'yesterday' is not a time"),
        (AZURE + "2023-11-16 18:17:03,1.5,2\n", "line 2, column 'ContextTokens': '1.5' is not a whole number"),
        (AZURE + "2023-11-16 18:17:03,-1,2\n", "line 2, column 'ContextTokens': '-1' is not a number from 0"),
        (AZURE + "2023-11-16 18:17:03,1,99999999999\n", "line 2, column 'GeneratedTokens'"),
        (AZURE + "2023-11-16 18:17:03,1\n", "line 2: 3 columns are expected"),
        (MOONCAKE + "{oops\n", "line 2, character 2: no JSON"),
        (MOONCAKE + '{"timestamp": 1}\n', "line 2: the field input_length is missing"),
        (MOONCAKE.replace("1,", "1e300,"), "line 1, column 'timestamp'"),
        (MOONCAKE.replace("2,", '"x",'), "line 1, column 'input_length': 'x' is not a number"),
    ],
)
def test_a_damaged_trace_names_file_line_and_column(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(content)
    with pytest.raises(TraceUnreadable) as caught:
        list(read_trace(file))
    assert str(file) in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceUnreadable, match=r"missing\.csv cannot be read: No such file"):
        list(read_trace(tmp_path / "missing.csv"))
    (tmp_path / "trace.zip").write_bytes(b"PK\xff\xfe")
    with pytest.raises(TraceUnreadable, match="is no text"):
        list(read_trace(tmp_path / "trace.zip"))


def test_a_packed_trace_is_read_and_a_cut_one_refused(tmp_path: Path) -> None:
    packed = tmp_path / "azure.csv.gz"
    packed.write_bytes(gzip.compress((TRACES / "azure.csv").read_bytes()))
    assert list(read_trace(packed)) == list(read_trace(TRACES / "azure.csv"))
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(TraceUnreadable, match="cannot be read"):
        list(read_trace(packed))


def test_a_trace_without_end_is_read_as_it_comes(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text(MOONCAKE * 10 + "{damaged\n")
    # The tenth request is handed out before the eleventh line is looked at.
    assert len(list(islice(read_trace(file), 10))) == 10


def test_a_start_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        list(read_trace(TRACES / "mooncake.jsonl", start=datetime(2025, 1, 1)))
