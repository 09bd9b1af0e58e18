import re
from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from litellm_hub.usage import charts


@pytest.fixture(autouse=True)
def _own_renderer() -> Any:
    with alt.renderers.enable(alt.renderers.active), alt.data_transformers.enable(alt.data_transformers.active):
        charts.use_svg()
        yield


def hours(zone: str) -> pd.DataFrame:
    hour = pd.to_datetime(["2026-05-01T00:30Z", "2026-05-01T01:30Z"]).tz_convert(zone)
    return pd.DataFrame({"time": hour, "model": ["a", "b"], "value": [1.0, float("nan")]})


def parts(moment: datetime) -> dict[str, object]:
    """An instant as Vega-Lite has it."""
    clock = {"hours": moment.hour, "minutes": moment.minute, "seconds": moment.second, "milliseconds": 0}
    return {"year": moment.year, "month": moment.month, "date": moment.day, **clock, "utc": True}


def test_a_notebook_gets_a_drawing_that_loads_nothing() -> None:
    chart = charts.ranked(pd.DataFrame({"model": ["ada"], "value": [1]}), "model", "value", "Value")
    shown, _metadata = InteractiveShell.instance().display_formatter.format(chart)
    assert shown["image/svg+xml"].startswith("<svg")
    assert "ada" in shown["image/svg+xml"]
    assert not {"text/html", "application/javascript"} & set(shown)


def test_hours_stay_on_the_clock_of_their_zone() -> None:
    spec = charts.over_time(hours("Asia/Kolkata"), "value", "Value", grain="hour").to_dict()
    (rows,) = spec["datasets"].values()
    assert [datetime.fromisoformat(row["time"]).isoformat() for row in rows] == ["2026-05-01T06:00:00+00:00"]
    assert spec["encoding"]["x"]["scale"]["type"] == "utc"
    assert all(part.get("timeUnit", "utc").startswith("utc") for part in spec["encoding"]["tooltip"])
    assert spec["encoding"]["x"]["title"] == "Time (Asia/Kolkata)"


def test_bars_stand_on_each_other_and_lines_do_not() -> None:
    times = pd.to_datetime(["2026-05-01", "2026-05-01", "2026-05-02"]).tz_localize("UTC")
    frame = pd.DataFrame({"time": times, "model": ["a", "b", "a"], "value": [1, 2, 4]})
    spec = charts.over_time(frame, "value", "Value").to_dict()
    (rows,) = spec["datasets"].values()
    assert [(row["bottom"], row["top"]) for row in rows] == [(0, 1), (1, 3), (0, 4)]
    assert spec["mark"]["type"] == "rect"
    assert charts.over_time(frame, "value", "Value", mark="line").to_dict()["mark"]["type"] == "line"


def texts(chart: Any) -> list[str]:
    """What a drawing says."""
    shown, _metadata = InteractiveShell.instance().display_formatter.format(chart)
    return re.findall(r"<text[^>]*>([^<]+)</text>", shown["image/svg+xml"])


def test_the_axis_shows_the_chosen_range_and_an_hour_is_a_thin_bar() -> None:
    since, until = pd.Timestamp("2026-04-24T08:00", tz="UTC"), pd.Timestamp("2026-05-01T08:00", tz="UTC")
    chart = charts.over_time(hours("UTC"), "value", "Value", grain="hour", since=since, until=until)
    spec = chart.to_dict()
    assert spec["encoding"]["x"]["scale"]["domain"] == [parts(since), parts(until)]
    assert {"25 Apr", "1 May"} <= set(texts(chart))
    assert not [text for text in texts(chart) if "AM" in text or "PM" in text]


def test_one_day_is_a_bar_among_days_and_counts_have_no_halves() -> None:
    day = pd.DataFrame({"time": pd.to_datetime(["2026-05-01"]).tz_localize("UTC"), "model": "a", "value": [1]})
    said = texts(charts.over_time(day, "value", "Requests", grain="day"))
    assert "30 Apr" in said
    assert not [text for text in said if ":" in text], "days, not hours"
    assert "0.5" not in said


def test_nothing_to_chart_gives_a_line_of_text() -> None:
    empty = hours("UTC").iloc[:0]
    unmeasured = hours("UTC").iloc[1:]
    for frame in (empty, unmeasured):
        for chart in (charts.over_time(frame, "value", "Tokens"), charts.ranked(frame, "model", "value", "Tokens")):
            assert isinstance(chart, charts.Note)
            assert str(chart).startswith("Tokens: nothing to show yet")


def test_an_empty_table_gives_its_line_of_text() -> None:
    frame = hours("UTC")
    assert charts.table(frame, "None.").frame is frame
    assert repr(charts.table(frame.iloc[:0], "None.")) == "None."


def test_a_year_of_hours_fits_into_one_chart() -> None:
    hour = pd.date_range("2026-01-01", periods=8760, freq="h", tz="UTC")
    frame = pd.DataFrame({"time": hour, "model": "a", "value": 1.0})
    (rows,) = charts.over_time(frame, "value", "Value", grain="hour").to_dict()["datasets"].values()
    assert len(rows) == 8760


def test_a_week_has_every_hour_whether_used_or_not() -> None:
    spec = charts.week(pd.DataFrame({"weekday": [2], "hour": [9], "requests": [4]}), "requests", "Requests").to_dict()
    (rows,) = spec["datasets"].values()
    assert len(rows) == 168
    assert [(row["day"], row["hour"]) for row in rows if row["requests"]] == [("Wednesday", 9)]


def test_a_missing_name_is_said_in_words() -> None:
    spec = charts.ranked(pd.DataFrame({"user": [None, "ada"], "value": [2, 1]}), "user", "value", "Value").to_dict()
    (rows,) = spec["datasets"].values()
    assert [row["user"] for row in rows] == ["no user", "ada"]


def test_an_outlook_shows_what_was_even_without_a_forecast() -> None:
    days = pd.date_range("2026-05-01", periods=3, freq="D", tz="UTC")
    was = pd.DataFrame({"requests": [1.0, 2.0, 3.0]}, index=days)
    coming = pd.DataFrame({"time": days, "expected": 1.0, "low": 0.0, "high": 2.0})
    assert len(charts.outlook(was, "requests", coming.head(0), "Requests").to_dict()["layer"]) == 1
    assert len(charts.outlook(was, "requests", coming, "Requests").to_dict()["layer"]) == 3
    assert isinstance(charts.outlook(was.head(0), "requests", coming.head(0), "Requests"), charts.Note)
