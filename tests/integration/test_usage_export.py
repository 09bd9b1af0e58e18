"""The log as files, from a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine

from litellm_hub import usage
from litellm_hub.usage import __main__ as command
from litellm_hub.usage import export as exporting
from litellm_hub.usage.export import export
from tests.support.usage_database import Database, make_full_database
from tests.support.usage_truth import truth


@pytest.fixture(scope="module")
def database(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage_export")


@pytest.fixture(scope="module")
def log(database: Database) -> Iterator[Engine]:
    engine = usage.connect(database.reader)
    yield engine
    engine.dispose()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment after the truth's requests, whatever the clock says."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 12, 1, tzinfo=tz)

    monkeypatch.setattr(exporting, "datetime", Later)


def read(*files: Path) -> pd.DataFrame:
    pages = [pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file) for file in files]
    return pd.concat(pages, ignore_index=True).set_index("request_id")


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("target", "form"), [("log.parquet", "csv"), ("log.csv", "parquet"), ("days", "parquet")])
def test_files_hold_every_request_once(log: Engine, tmp_path: Path, target: str, form: Any) -> None:
    happened = truth().set_index("id")
    for _ in range(2):  # what is there is written anew
        written = list(export(log, tmp_path / target, form=form, tz="Asia/Kolkata"))
    found = read(*(path for path, _ in written))
    assert found.index.is_unique
    assert set(found.index) == set(happened.index)
    found = found.loc[happened.index]
    for name in ("prompt_tokens", "completion_tokens", "spend"):
        assert found[name].tolist() == pytest.approx(happened[name].tolist())
    assert (pd.to_datetime(found["started_at"]) == happened["started"]).all()
    days = happened["started"].dt.tz_convert("Asia/Kolkata").dt.strftime("usage-%Y-%m-%d.parquet").value_counts()
    expected = {target: len(happened)} if "." in target else days.to_dict()
    assert {path.name: rows for path, rows in written} == expected
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == set(expected), "nothing else is left"


@pytest.mark.usefixtures("later")
def test_an_export_that_is_cut_leaves_the_file_as_it_was(
    log: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(engine: Engine, where: usage.UsageFilter) -> Iterator[pd.DataFrame]:
        yield usage.requests(engine, where, limit=10)
        raise KeyboardInterrupt

    target = tmp_path / "log.csv"
    target.write_text("of yesterday")
    monkeypatch.setattr(exporting, "stream_requests", cut)
    with pytest.raises(KeyboardInterrupt):
        list(export(log, target))
    assert target.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [target]


def test_a_time_span_and_a_model_are_chosen_on_the_command_line(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(truth()["model"].iloc[0])
    span = ["--since", "2026-10-25T01:00+01:00", "--until", "2026-10-25T02:00", "--model", model]
    assert command.main(["export", str(tmp_path), *span, "--format", "csv", "--database", database.reader]) == 0
    expected = truth().set_index("started").sort_index()["2026-10-25 00:00":"2026-10-25 01:59:59.999"]
    expected = expected[expected["model"] == model]
    assert capsys.readouterr().out == f"{tmp_path}/usage-2026-10-25.csv: {len(expected)} requests\n"
    assert set(read(tmp_path / "usage-2026-10-25.csv").index) == set(expected["id"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x", "--database", "mysql://h/d"], "the usage log is in PostgreSQL"),
        (["/proc/none/log.csv"], "No such file"),
        (["x", "--zone", "Mars"], "tz is 'Mars'"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(
    database: Database,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_DATABASE_URL", database.reader)
    assert command.main(["export", *arguments]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
