"""The usage notebooks on a log with known requests and on an empty one: charts or friendly words, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import usage_truth
from tests.support.usage_database import PASSWORD, ROOT, Database, make_database, make_full_database

CHART = "image/svg+xml"
OF_THE_LOG = ("usage_overview", "usage_performance", "usage_people", "usage_costs", "usage_capacity")


def outputs(
    url: str, monkeypatch: pytest.MonkeyPatch, now: str = "datetime.now(UTC)"
) -> dict[str, list[dict[str, Any]]]:
    """What each notebook shows at an instant; all of them in one kernel, whose start takes longest."""
    monkeypatch.setenv("LAB_DATABASE_URL", url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    whole = nbformat.v4.new_notebook()
    bounds = []
    for name in OF_THE_LOG:
        notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for cell in code:
            cell.source = cell.source.replace("NOW = datetime.now(UTC)", f"NOW = {now}")
        bounds.append((name, len(whole.cells), len(whole.cells) + len(code)))
        whole.cells += code
    NotebookClient(whole, timeout=120, kernel_name="python3").execute()
    return {name: [shown for cell in whole.cells[begin:end] for shown in cell.outputs] for name, begin, end in bounds}


def charts(shown: list[dict[str, Any]]) -> int:
    return sum(CHART in output.get("data", {}) for output in shown)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as made:
        yield made


@pytest.fixture(scope="module")
def full(scratch_postgres: Any, gateway_env: Any, patch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    database: Database = make_full_database(scratch_postgres, gateway_env, "usage_notebooks")
    return outputs(database.reader, patch, "datetime(2026, 10, 26, tzinfo=UTC)")  # when the requests are recent


@pytest.fixture(scope="module")
def empty(scratch_postgres: Any, gateway_env: Any, patch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    return outputs(make_database(scratch_postgres, gateway_env, "usage_notebooks_empty").reader, patch)


def test_notebooks_show_charts_and_no_secret(full: dict[str, list[dict[str, Any]]]) -> None:
    assert "application/vnd.jupyter.widget-view+json" in full["usage_overview"][0]["data"]
    shown = {name: charts(found) for name, found in full.items() if name != "usage_overview"}
    assert shown == {"usage_performance": 3, "usage_people": 2, "usage_costs": 2, "usage_capacity": 2}
    assert "nothing to show yet. Ask" not in str(full)
    assert "claude-haiku-4-5" in str(full["usage_costs"])
    assert "no quotation" in str(full["usage_costs"])
    for secret in (PASSWORD, usage_truth.SECRET, usage_truth.token_of("ada-notebook")):
        assert secret not in str(full)


def test_notebooks_are_friendly_about_an_empty_log(empty: dict[str, list[dict[str, Any]]]) -> None:
    for name, found in empty.items():
        assert charts(found) == 0
        assert "nothing to show yet" in str(found), name
    assert "claude-haiku-4-5" not in str(empty["usage_costs"])
    assert "3 weeks of hours are needed" in str(empty["usage_performance"])
    assert "no answers yet that tell how long one takes" in str(empty["usage_capacity"])
    assert "whole days of use; the log has 0 so far" in str(empty["usage_costs"])
