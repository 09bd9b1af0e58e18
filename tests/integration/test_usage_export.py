"""The log as files and as a report, from a real database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine

from litellm_hub import usage
from litellm_hub.usage import __main__ as command
from litellm_hub.usage import export as exporting
from litellm_hub.usage.export import ExportRefused, export, make_key
from tests.support import usage_truth
from tests.support.usage_database import Database, make_database, make_full_database
from tests.support.usage_truth import truth

NOW = datetime(2026, 12, 1, tzinfo=UTC)
KEY = b"a key of sixteen bytes or more"


@pytest.fixture(scope="module")
def database(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "usage_export")


@pytest.fixture(scope="module")
def log(database: Database) -> Iterator[Engine]:
    engine = usage.connect(database.reader)
    yield engine
    engine.dispose()


def whole(folder: Path, form: str) -> pd.DataFrame:
    read = pd.read_parquet if form == "parquet" else pd.read_csv
    return pd.concat([read(file) for file in sorted(folder.glob(f"usage-*.{form}"))], ignore_index=True)


@pytest.mark.parametrize(("form", "period", "zone"), [("parquet", "day", "UTC"), ("csv", "month", "Asia/Kolkata")])
def test_files_hold_every_request_once(log: Engine, tmp_path: Path, form: Any, period: Any, zone: str) -> None:
    happened = truth().set_index("id")
    written = export(log, tmp_path, period=period, form=form, tz=zone, now=NOW)
    rows = whole(tmp_path, form).set_index("request_id")
    assert rows.index.is_unique
    assert set(rows.index) == set(happened.index)
    rows = rows.loc[happened.index]
    for name in ("prompt_tokens", "completion_tokens", "spend"):
        assert rows[name].tolist() == pytest.approx(happened[name].tolist())
    assert (pd.to_datetime(rows["started_at"]) == happened["started"]).all()
    length = 10 if period == "day" else 7
    local = happened["started"].dt.tz_convert(zone).dt.strftime("%Y-%m-%d").str[:length]
    assert [file.path.name for file in written] == [f"usage-{name}.{form}" for name in sorted(local.unique())]
    assert sum(file.rows for file in written) == len(happened)


def test_an_anonymised_export_tells_people_apart_and_names_none(log: Engine, tmp_path: Path) -> None:
    export(log, tmp_path, key=KEY, now=NOW)
    rows, happened = whole(tmp_path, "parquet"), truth()
    everything = {str(value) for name in rows for value in rows[name]} | {tag for tags in rows["tags"] for tag in tags}
    for name in ("user", "key_alias", "id"):
        assert not set(happened[name].dropna()) & everything
    assert "course-7" not in everything
    assert rows["user"].nunique() == happened["user"].nunique()
    assert sorted(rows.groupby("user").size()) == sorted(happened.groupby("user").size())
    assert rows["user"].isna().sum() == happened["user"].isna().sum()
    other = tmp_path / "other"
    export(log, other, key=KEY + b"!", now=NOW)
    assert not set(rows["user"].dropna()) & set(whole(other, "parquet")["user"].dropna())


def test_an_export_that_was_cut_goes_on_where_it_was(
    log: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = exporting.stream_requests
    asked: list[datetime] = []

    def cut(engine: Engine, where: usage.UsageFilter) -> Iterator[pd.DataFrame]:
        asked.append(where.since)
        yield from pages(engine, where, chunk=10)
        if len(asked) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "stream_requests", cut)
    with pytest.raises(KeyboardInterrupt):
        export(log, tmp_path, period="day", now=NOW)
    (there,) = tmp_path.glob("usage-*")
    assert not list(tmp_path.glob(".part-*"))
    os.utime(there, (NOW.timestamp(), NOW.timestamp()))
    written = export(log, tmp_path, period="day", now=NOW)
    assert [file.kept for file in written] == [True] + [False] * (len(written) - 1)
    assert set(whole(tmp_path, "parquet")["request_id"]) == set(truth()["id"])


def test_a_day_that_was_not_over_is_written_anew(log: Engine, tmp_path: Path) -> None:
    noon = datetime(2026, 10, 25, 1, tzinfo=UTC)
    day = tmp_path / "usage-2026-10-25.parquet"
    early = export(log, tmp_path, now=noon)[-1]
    os.utime(day, (noon.timestamp(), noon.timestamp()))
    late = export(log, tmp_path, now=NOW)[-1]
    assert (early.path, late.path, late.kept) == (day, day, False)
    assert early.rows < late.rows == (truth()["started"] >= "2026-10-25").sum()


def test_another_export_in_the_folder_is_not_mixed_with(log: Engine, tmp_path: Path) -> None:
    export(log, tmp_path, now=NOW)
    with pytest.raises(ExportRefused, match="anonymised_with is None there"):
        export(log, tmp_path, key=KEY, now=NOW)
    with pytest.raises(ValueError, match="16 or more"):
        export(log, tmp_path / "short", key=b"short", now=NOW)


def test_a_folder_that_cannot_be_written_is_named(log: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportRefused, match="file"):
        export(log, tmp_path / "file", now=NOW)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert make_key(tmp_path / "key") == key
    (tmp_path / "poor").write_text("short")
    with pytest.raises(ExportRefused, match="5 bytes"):
        make_key(tmp_path / "poor")
    with pytest.raises(ExportRefused, match="No such file"):
        make_key(tmp_path / "nowhere" / "key")


# The command line -------------------------------------------------------------------------------------------------


def test_the_export_s_progress_and_key_are_told(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    arguments = ["export", str(folder), "--by", "month", "--anonymous", "--database", database.reader]
    assert command.main([*arguments, "--until", "2026-12-01"]) == 0
    shown = capsys.readouterr().out
    assert f"The key is in {tmp_path / 'out.key'}" in shown
    assert re.search(r"1/\d usage-2026-0\d\.parquet: \d+ requests", shown)


def test_the_report_is_one_page_that_loads_nothing(database: Database, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert command.main(["report", "--month", "2026-10", "--out", str(out), "--database", database.reader]) == 0
    page = out.read_text()
    october = truth()[lambda happened: happened["started"] >= "2026-10-01"]
    assert f"<strong>{len(october):,}</strong>" in page
    assert page.count("<svg") >= 6
    # Namespaces are names, nothing is fetched from them.
    addresses = set(re.findall(r"""(?:https?:)?//[^\s"'<>)]+""", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in page
    assert usage_truth.SECRET not in page
    assert "3 weeks of hours are needed" not in page or "Unusual requests" in page


def test_a_month_without_requests_and_an_empty_log_have_a_friendly_report(
    database: Database, scratch_postgres: Any, gateway_env: Any, tmp_path: Path
) -> None:
    empty = make_database(scratch_postgres, gateway_env, "usage_report_empty")
    for address, month in ((database.reader, "2025-01"), (empty.reader, "2026-10")):
        out = tmp_path / f"{month}.html"
        assert command.main(["report", "--month", month, "--out", str(out), "--database", address]) == 0
        assert "No requests in" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "--month", "October", "--out", "x.html"], "month is 'October'"),
        (["report", "--month", "2026-10", "--out", "x.html", "--zone", "Mars"], "tz is 'Mars'"),
        (["export", "x", "--database", "mysql://h/d"], "the usage log is in PostgreSQL"),
        (["load-trace", "missing.csv", "--database", "postgresql://127.0.0.1:1/d"], "cannot be opened"),
        (["load-trace", "a.csv", "--database", "postgresql://h/d", "--answer-speed", "5"], "--prompt-speed"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
