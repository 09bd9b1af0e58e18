"""Public traces are read line by line, and a damaged one says where it is damaged."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.usage.trace_formats import FIRST_DAY, TraceError, read_trace

TRACES = Path(__file__).parent / "traces"
AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
MOONCAKE = b'{"timestamp": 1, "input_length": 2, "output_length": 3, "hash_ids": []}\n'


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
        (b"", "line 1: '' begins no known trace"),
        (b"a,b,c\n1,2,3\n", "line 1: 'a,b,c' begins no known trace"),
        (AZURE + b"2023-11-16 18:17:03,1,2\nyesterday,1,2\n", "line 3: .*yesterday"),
        (AZURE + b"2023-11-16 18:17:03,1.5,2\n", "line 2: .*1.5"),
        (AZURE + b"2023-11-16 18:17:03,-1,2\n", "line 2: .*-1"),
        (AZURE + b"2023-11-16 18:17:03,1,99999999999\n", "line 2: .*99999999999"),
        (AZURE + b"2023-11-16 18:17:03,1\n", "line 2: .*None"),
        (MOONCAKE + b"{oops\n", "line 2: .*JSON"),
        (MOONCAKE + b'{"timestamp": 1}\n', "line 2: .*input_length"),
        (MOONCAKE.replace(b"1,", b"1e300,"), "line 1: .*Overflow"),
        (b"PK\xff\xfe", "line 1: .*Unicode"),
    ],
)
def test_a_damaged_trace_names_file_and_line(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_bytes(content)
    with pytest.raises(TraceError, match=f"{file}, {words}"):
        list(read_trace(file))


def test_a_packed_trace_is_read_and_a_cut_or_missing_one_refused(tmp_path: Path) -> None:
    packed = tmp_path / "azure.csv.gz"
    packed.write_bytes(gzip.compress((TRACES / "azure.csv").read_bytes()))
    assert list(read_trace(packed)) == list(read_trace(TRACES / "azure.csv"))
    packed.write_bytes(packed.read_bytes()[:-9])
    for file in (packed, tmp_path / "missing.csv"):
        with pytest.raises(TraceError, match="cannot be read"):
            list(read_trace(file))
