from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from litellm_hub.usage import charts

BUILT_IN = "application/vnd.vegalite.v5+json"


@pytest.fixture(autouse=True)
def _own_renderer() -> Any:
    with alt.renderers.enable(alt.renderers.active), alt.data_transformers.enable(alt.data_transformers.active):
        charts.use_jupyterlab()
        yield


def hours(zone: str) -> pd.DataFrame:
    hour = pd.to_datetime(["2026-05-01T00:30Z", "2026-05-01T01:30Z"]).tz_convert(zone)
    return pd.DataFrame({"hour": hour, "model": ["a", "b"], "value": [1.0, float("nan")]})


def bundle(chart: Any) -> dict[str, Any]:
    """What a kernel sends to the notebook for this chart."""
    shown, _metadata = InteractiveShell.instance().display_formatter.format(chart)
    return shown


def test_a_chart_is_handed_over_in_the_format_that_jupyterlab_ships() -> None:
    shown = bundle(charts.per_model(pd.DataFrame({"model": ["a"], "value": [1]}), "value", "Value"))
    assert set(shown) == {BUILT_IN, "text/plain"}
    assert shown[BUILT_IN]["$schema"].endswith("/v5.json")
    assert "http" not in str({**shown[BUILT_IN], "$schema": ""})


def test_hours_stay_on_the_clock_of_their_zone() -> None:
    spec = bundle(charts.per_hour(hours("Asia/Kolkata"), "value", "Value"))[BUILT_IN]
    (rows,) = spec["datasets"].values()
    assert [datetime.fromisoformat(row["hour"]).isoformat() for row in rows] == ["2026-05-01T06:00:00+00:00"]
    assert spec["encoding"]["x"]["timeUnit"].startswith("utc")
    assert spec["encoding"]["x"]["title"] == "Hour (Asia/Kolkata)"


@pytest.mark.parametrize("mark", ["bar", "line"])
def test_the_mark_is_the_one_asked_for(mark: Any) -> None:
    spec = bundle(charts.per_hour(hours("UTC"), "value", "Value", mark=mark))[BUILT_IN]
    assert spec["mark"]["type"] == mark


def test_nothing_to_chart_gives_a_line_of_text() -> None:
    empty = hours("UTC").iloc[:0]
    unmeasured = hours("UTC").iloc[1:]
    for frame in (empty, unmeasured):
        for chart in (charts.per_hour(frame, "value", "Tokens"), charts.per_model(frame, "value", "Tokens")):
            assert isinstance(chart, charts.Note)
            assert str(chart).startswith("Tokens: nothing to show yet")


def test_an_empty_table_gives_its_line_of_text() -> None:
    frame = hours("UTC")
    assert charts.table(frame, "None.") is frame
    assert repr(charts.table(frame.iloc[:0], "None.")) == "None."


def test_a_year_of_hours_fits_into_one_chart() -> None:
    hour = pd.date_range("2026-01-01", periods=8760, freq="h", tz="UTC")
    frame = pd.DataFrame({"hour": hour, "model": "a", "value": 1.0})
    assert len(next(iter(bundle(charts.per_hour(frame, "value", "Value"))[BUILT_IN]["datasets"].values()))) == 8760
