"""Charts of usage frames: drawn as SVG in notebooks and on pages made of them, interactive in the dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import altair as alt
import pandas as pd

from litellm_hub.usage.spans import Grain
from litellm_hub.usage.tables import NOBODY, Table

_MAX_ROWS = 100_000
# As in the dashboard's style sheet.
_PALETTE = ["#5b86e8", "#e1812c", "#2a9d8f", "#c45c9c", "#8f74d6", "#b8901c", "#6f8fa3", "#94a3b3"]
_RAMP = ["#5b86e822", "#5b86e8"]
_WIDTH = 640

Width = int | Literal["container"]

_UNITS: dict[Grain, str] = {
    "quarter": "utcyearmonthdatehoursminutes",
    "hour": "utcyearmonthdatehours",
    "day": "utcyearmonthdate",
    "week": "utcyearmonthdate",
    "month": "utcyearmonth",
}
_WIDTHS: dict[Grain, pd.Timedelta] = {
    "quarter": pd.Timedelta(minutes=15),
    "hour": pd.Timedelta(hours=1),
    "day": pd.Timedelta(days=1),
    "week": pd.Timedelta(weeks=1),
    "month": pd.Timedelta(days=30),
}
_FORMATS: dict[Grain, str] = {
    "quarter": "%a %Y-%m-%d %H:%M",
    "hour": "%a %Y-%m-%d %H:%M",
    "day": "%a %Y-%m-%d",
    "week": "week of %Y-%m-%d",
    "month": "%B %Y",
}
_FEW = 5  # up to here an axis would count in halves
_FEWEST_BUCKETS = 14  # that a time axis has room for: one bar is a bar and no wall
# What a time axis says: days where days begin, else the clock with 24 hours.
_CLOCK = (
    "utchours(datum.value) || utcminutes(datum.value)"
    " ? utcFormat(datum.value, '%H:%M') : utcFormat(datum.value, '%-d %b')"
)
_AXES: dict[Grain, dict[str, Any]] = {
    "quarter": {"labelExpr": _CLOCK},
    "hour": {"labelExpr": _CLOCK},
    "day": {"format": "%-d %b", "tickMinStep": 86_400_000},
    "week": {"format": "%-d %b", "tickMinStep": 86_400_000},
    "month": {"format": "%b %Y", "tickMinStep": 28 * 86_400_000},
}
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class Note:
    """A line of text where a chart has nothing to show."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"*{self.text}*"


def use_svg() -> None:
    """Let Altair draw every chart of this kernel as SVG: that needs no network, and stays in what is saved.

    A drawing cannot follow JupyterLab's theme, so its colours can be read on white and on black.
    """
    alt.renderers.enable("svg")
    alt.theme.register("genailabs", enable=True)(_look)
    alt.data_transformers.enable("default", max_rows=_MAX_ROWS)


def _look() -> alt.theme.ThemeConfig:
    text, line = "#7b818a", "#8884"
    axis: alt.theme.AxisConfigKwds = {"labelColor": text, "titleColor": text, "titleFontWeight": "normal"}
    axis |= {"gridColor": line, "domainColor": line, "tickColor": line}
    return {
        "config": {
            "background": "transparent",
            "view": {"stroke": "transparent"},
            "axis": axis,
            "axisX": {"grid": False},
            "legend": {"labelColor": text, "titleColor": text, "symbolType": "circle"},
            "range": {"category": _PALETTE, "heatmap": _RAMP, "ramp": _RAMP},
            "bar": {"fill": _PALETTE[0]},
            "rect": {"fill": _PALETTE[0]},
            "line": {"stroke": _PALETTE[0]},
        }
    }


def over_time(
    frame: pd.DataFrame,
    value: str,
    title: str,
    *,
    grain: Grain = "day",
    mark: Literal["bar", "line"] = "bar",
    color: str | None = "model",
    since: datetime | None = None,
    until: datetime | None = None,
    width: Width = _WIDTH,
    height: int = 220,
) -> alt.Chart | Note:
    """Chart a column over time.

    Args:
        frame: A frame of `litellm_hub.usage` with the columns `time`, `value` and `color`.
        value: Column to show; rows where it is missing are left out.
        title: Title of the value axis, with its unit.
        grain: Length of the frame's buckets.
        mark: "bar" stacks what can be added up, from 0; "line" with points is for the rest, percentiles for instance.
        color: Column that tells bars or lines apart; None for one of a kind.
        since: Where the axis begins. Default: where the frame does, earlier where it holds but a few buckets.
        until: Where it ends. Default: where the frame does.
        width: Of the plot, in pixels, or "container".
        height: Of the plot, in pixels.

    Returns:
        The chart, its times as the clock showed them in the frame's time zone, or a note if there is nothing to chart.
    """
    shown = frame.dropna(subset=[value])
    if shown.empty:
        return _nothing(title)
    zone = str(frame["time"].dt.tz)
    ends = [None if end is None else pd.Timestamp(end).tz_convert(zone) for end in (since, until)]
    shown = shown.assign(time=on_the_clock(shown["time"]))
    if color:
        shown[color] = shown[color].fillna(NOBODY.get(color, "not known"))
    time = f"{_UNITS[grain]}(time):T"
    tooltip = [alt.Tooltip(time, title="time", format=_FORMATS[grain]), *_tooltip(shown, (value,))]
    encoding: dict[str, Any] = {
        "x": alt.X(
            "time:T",
            title=f"Time ({zone})",
            scale=alt.Scale(type="utc", domain=_domain(shown["time"], ends, grain)),
            axis=alt.Axis(**_AXES[grain], labelOverlap=True),
        ),
        "y": alt.Y(f"{value}:Q", title=title),
        "tooltip": tooltip,
    }
    columns = ["time", value, *([color] if color else [])]
    if mark == "bar":
        shown = _stacked(shown, value, grain)
        columns += ["end", "bottom", "top"]
        axis = _axis(shown[value], shown["top"].max())
        encoding |= {"x2": "end:T", "y": alt.Y("bottom:Q", title=title, axis=axis), "y2": "top:Q"}
    base = alt.Chart(shown[columns], width=width, height=height)
    marked = base.mark_rect(clip=True) if mark == "bar" else base.mark_line(point={"size": 22}, clip=True)
    if color:
        encoding["color"] = alt.Color(f"{color}:N", title=None, legend=alt.Legend(orient="top"))
        encoding["tooltip"] = [*tooltip, *_tooltip(shown, (color,))]
    chart: alt.Chart = marked.encode(**encoding)
    return chart


def ranked(
    frame: pd.DataFrame, category: str, value: str, title: str, *, most: int = 12, width: Width = _WIDTH
) -> alt.Chart | Note:
    """Chart a column as one bar for each model, user or whatever a row stands for, the largest first.

    Args:
        frame: A frame of `litellm_hub.usage` with the columns `category` and `value`.
        category: Column that names the bars.
        value: Column to show; rows where it is missing are left out.
        title: Title of the value axis, with its unit.
        most: The most bars.
        width: Of the plot, in pixels, or "container".

    Returns:
        The chart, or a note if there is nothing to chart.
    """
    shown = frame.dropna(subset=[value]).nlargest(most, value)
    if shown.empty:
        return _nothing(title)
    shown = shown.assign(**{category: shown[category].fillna(NOBODY.get(category, "not known"))})
    plain = [name for name in shown.columns if pd.api.types.is_numeric_dtype(shown[name])]
    bars = alt.Chart(shown[[category, *plain]], width=width, height={"step": 22}).mark_bar(cornerRadiusEnd=2)
    chart: alt.Chart = bars.encode(
        x=alt.X(f"{value}:Q", title=title, axis=_axis(shown[value], shown[value].max())),
        y=alt.Y(f"{category}:N", sort="-x", title=None),
        tooltip=_tooltip(shown, (category, *plain)),
    )
    return chart


def week(frame: pd.DataFrame, value: str, title: str, *, width: Width = _WIDTH, height: int = 180) -> alt.Chart | Note:
    """Chart a column by weekday and hour.

    Args:
        frame: What `usage.hour_of_week` returned.
        value: Column to show.
        title: Title of the colours, with their unit.
        width: Of the plot, in pixels, or "container".
        height: Of the plot, in pixels.

    Returns:
        The chart, or a note if there is nothing to chart.
    """
    if frame.empty:
        return _nothing(title)
    every = pd.MultiIndex.from_product([range(7), range(24)], names=["weekday", "hour"])
    full = frame.set_index(["weekday", "hour"])[[value]].reindex(every, fill_value=0).reset_index()
    full["day"] = full["weekday"].map(dict(enumerate(_WEEKDAYS)))
    chart: alt.Chart = (
        alt.Chart(full, width=width, height=height)
        .mark_rect(cornerRadius=2)
        .encode(
            x=alt.X("hour:O", title="Hour", axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
            y=alt.Y("day:O", sort=_WEEKDAYS, title=None),
            color=alt.Color(f"{value}:Q", title=title, legend=None),
            tooltip=_tooltip(full, ("day", "hour", value)),
        )
    )
    return chart


def outlook(
    history: pd.DataFrame, value: str, forecast: pd.DataFrame, title: str, *, width: Width = _WIDTH
) -> alt.LayerChart | Note:
    """Chart what was, and what is expected with its range.

    Args:
        history: Frame with `value` by time, such as `insight.complete` returned.
        value: Column to show.
        forecast: The table of `insight.forecast`; may be empty.
        title: Title of the value axis, with its unit.
        width: Of the plot, in pixels.

    Returns:
        The chart, or a note if there is nothing to chart.
    """
    if history.empty:
        return Note(f"{title}: no whole day is over yet; there is something to see from tomorrow on.")
    was = pd.DataFrame({"time": on_the_clock(history.index.to_series()), value: history[value]})
    layers = [alt.Chart(was).mark_line().encode(x=alt.X("time:T", title=None), y=alt.Y(f"{value}:Q", title=title))]
    if not forecast.empty:
        coming = forecast.assign(time=on_the_clock(forecast["time"]))
        x = alt.X("time:T", scale=alt.Scale(type="utc"))
        band = alt.Chart(coming).mark_area(opacity=0.25).encode(x=x, y="low:Q", y2="high:Q")
        layers += [band, alt.Chart(coming).mark_line(strokeDash=[5, 3]).encode(x=x, y="expected:Q")]
    layers[0] = layers[0].encode(x=alt.X("time:T", title=None, scale=alt.Scale(type="utc")))
    return alt.LayerChart(layer=layers, width=width, height=220)


def table(frame: pd.DataFrame, nothing: str) -> Table | Note:
    """Return the frame as people read it, or a note that says `nothing` when it has no rows."""
    return Note(nothing) if frame.empty else Table(frame)


def on_the_clock(times: pd.Series) -> pd.Series:
    """Declare the hours of a clock as UTC: a browser would move them to its own zone, and UTC stays where it is."""
    moved: pd.Series = times.dt.tz_localize(None).dt.tz_localize("UTC")
    return moved


def _axis(values: pd.Series, most: float) -> alt.Axis:
    """Return the axis of values up to `most`: requests and tokens are counted, there is no half of one."""
    few = values.dtype.kind == "i" and most <= _FEW
    return alt.Axis(values=list(range(_FEW + 1)), format="d") if few else alt.Axis()


def _domain(times: pd.Series, ends: list[pd.Timestamp | None], grain: Grain) -> list[alt.DateTime]:
    """Return begin and end of a time axis, on a clock that shows UTC."""
    bucket = _WIDTHS[grain]
    since, until = (None if end is None else end.tz_localize(None).tz_localize("UTC") for end in ends)
    until = until or times.max() + bucket
    since = since or min(times.min(), until - _FEWEST_BUCKETS * bucket)
    return [_moment(since), _moment(until)]


def _moment(time: pd.Timestamp) -> alt.DateTime:
    """Return an instant as its parts: of one as milliseconds, Vega's interpreter makes another one."""
    parts: dict[str, Any] = {name: getattr(time, name) for name in ("year", "month")}
    clock = {"date": time.day, "hours": time.hour, "minutes": time.minute, "seconds": time.second}
    return alt.DateTime(**parts, **clock, milliseconds=time.microsecond // 1000, utc=True)


def _stacked(shown: pd.DataFrame, value: str, grain: Grain) -> pd.DataFrame:
    """Give each row its place as a bar: Vega-Lite stacks no bars that are as wide as a span of time."""
    tops = shown.groupby("time")[value].cumsum()
    # A little short of the end, so that bars stand apart; days are 24 hours wide, whatever the clocks do.
    return shown.assign(end=shown["time"] + _WIDTHS[grain] * 0.94, bottom=tops - shown[value], top=tops)


def _nothing(title: str) -> Note:
    return Note(f"{title}: nothing to show yet. Ask a model something in chat.ipynb, wait some seconds, run again.")


def _tooltip(frame: pd.DataFrame, names: tuple[str, ...]) -> list[alt.Tooltip]:
    def one(name: str) -> alt.Tooltip:
        label = name.replace("_", " ")
        if not pd.api.types.is_numeric_dtype(frame[name]):
            return alt.Tooltip(f"{name}:N", title=label)
        return alt.Tooltip(f"{name}:Q", title=label, format="," if frame[name].dtype.kind == "i" else ",.4~r")

    return [one(name) for name in names]
