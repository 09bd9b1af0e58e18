"""A made-up log fills every chart, shuts everybody else out, and goes however its user goes."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, create_engine, text

from litellm_hub import usage
from litellm_hub.usage import demo, insight
from tests.integration.test_usage_notebooks import charts, outputs
from tests.support.lab import ROOT, wait_until
from tests.support.usage_database import make_database

COLUMNS = text(
    "SELECT table_name, column_name, data_type, datetime_precision, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public'"
)


def home_of(url: str) -> Path:
    return Path(url.partition("host=")[2])


@pytest.fixture(scope="module")
def made_up(scratch_postgres: Any) -> Iterator[demo.Demo]:
    with demo.start(programs=scratch_postgres.bin_dir) as started:
        yield started


@pytest.fixture(scope="module")
def log(made_up: demo.Demo) -> Iterator[Engine]:
    engine = usage.connect()
    yield engine
    engine.dispose()


def test_its_tables_are_litellms(made_up: demo.Demo, scratch_postgres: Any, gateway_env: Any) -> None:
    real = make_database(scratch_postgres, gateway_env, "usage_demo").superuser
    owner = made_up.url.replace("//lab_reader@", "//litellm@")
    found = []
    for url in (owner, real):
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
        with engine.connect() as connection:
            found.append({tuple(row) for row in connection.execute(COLUMNS)})
        engine.dispose()
    made, there = found
    assert made
    assert made <= there


def test_it_has_models_people_failures_budgets_and_enough_days_for_a_forecast(log: Engine) -> None:
    models = usage.totals(log)
    assert len(models) >= 5
    assert (models["failures"] > 0).all()
    assert models["requests"].sum() == demo.REQUESTS
    for who in ("user", "team", "key_alias"):
        assert usage.people(log, by=(who,))[who].notna().all()
    budgets = usage.budgets(log)
    assert set(budgets["kind"]) == {"key", "team"}
    assert set(budgets["lasts"]) == {True, False}
    days = insight.complete(usage.volume(log, by=(), grain="day"), grain="day")
    assert not insight.forecast(days["requests"], 28, grain="day").table.empty
    assert usage.freshness(log).state == "fresh"


def test_the_notebooks_are_full(made_up: demo.Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outputs(made_up.url, monkeypatch)
    shown = {name: charts(cells) for name, cells in found.items() if name != "usage_overview"}
    assert shown == {"usage_performance": 3, "usage_people": 2, "usage_costs": 2, "usage_capacity": 2}
    for words in (
        "nothing to show yet",
        "are needed",
        "so far",
        "No key, user or team has",
        "Nothing failed",
        "too few",
    ):
        assert words not in str(found)


def test_nobody_else_gets_at_it(made_up: demo.Demo) -> None:
    assert stat.S_IMODE(home_of(made_up.url).stat().st_mode) == 0o700
    pid = int((home_of(made_up.url) / "data/postmaster.pid").read_text().split()[0])
    assert psutil.Process(pid).net_connections(kind="inet") == []


def test_a_kernel_reads_the_hubs_log_again_after_it(scratch_postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DATABASE_URL", "postgresql://the-hub")
    monkeypatch.setenv("PGHOST", "192.0.2.1")  # answers nobody
    with demo.start(requests=50, programs=scratch_postgres.bin_dir) as short:
        assert os.environ["LAB_DATABASE_URL"] == short.url
        engine = usage.connect()
        assert usage.totals(engine, by=())["requests"].tolist() == [50]
        engine.dispose()
    assert os.environ["LAB_DATABASE_URL"] == "postgresql://the-hub"
    assert not home_of(short.url).exists()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_it_goes_with_its_terminal(scratch_postgres: Any, end: signal.Signals) -> None:
    command = [sys.executable, "-m", "litellm_hub.usage", "demo", "--requests", "50"]
    command += ["--programs", scratch_postgres.bin_dir]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = iter(process.stdout.readline, "")
        home = next(Path(found[1]) for line in printed if (found := re.search(r"LAB_DATABASE_URL=\S+host=(\S+)", line)))
        server = psutil.Process(int((home / "data/postmaster.pid").read_text().split()[0]))
        process.send_signal(end)
    wait_until(lambda: not home.exists() and not server.is_running(), 30, f"the made-up log is gone after {end.name}")


def test_it_says_what_to_do_where_there_is_no_postgresql(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoFailed, match=r"no PostgreSQL 15 or newer.*pip install --target FOLDER"):
        demo.start(programs=tmp_path)
