"""Charts of usage frames that JupyterLab draws by itself, without a network.

Altair's own default loads its renderer from a CDN, and its "mimetype" renderer names a format (Vega-Lite 6) that
JupyterLab 4.6 does not know: it ships Vega-Lite 5. The charts here use only what both versions have in common, so they
are handed over as Vega-Lite 5.
"""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import pandas as pd

_MIME = "application/vnd.vegalite.v5+json"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_RENDERER = "jupyterlab-vega5"
_MAX_ROWS = 100_000
_WIDTH = 640


class Note:
    """A line of text where a chart has nothing to show."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"*{self.text}*"


def use_jupyterlab() -> None:
    """Make Altair hand every chart of this kernel to JupyterLab's built-in renderer."""
    alt.renderers.register(_RENDERER, _bundle)
    alt.renderers.enable(_RENDERER)
    alt.data_transformers.enable("default", max_rows=_MAX_ROWS)


def per_hour(
    frame: pd.DataFrame, value: str, title: str, *, mark: Literal["bar", "line"] = "bar", color: str = "model"
) -> alt.Chart | Note:
    """Chart a column over the hours.

    Args:
        frame: A frame of `litellm_hub.usage` with the columns `hour`, `value` and `color`.
        value: Column to show; rows where it is missing are left out.
        title: Title of the value axis, with its unit.
        mark: "bar" stacks what can be added up; "line" with points is for the rest, percentiles for instance.
        color: Column that tells bars or lines apart.

    Returns:
        The chart, its hours as the clock showed them in the frame's time zone, or a note if there is nothing to chart.
    """
    shown = frame.dropna(subset=[value])
    if shown.empty:
        return _nothing(title)
    zone = str(frame["hour"].dt.tz)
    # A browser would move the hours to its own zone; hours of the clock declared as UTC stay where they are.
    shown = shown.assign(hour=shown["hour"].dt.tz_localize(None).dt.tz_localize("UTC"))
    base = alt.Chart(shown, width=_WIDTH, height=220)
    marked = base.mark_bar() if mark == "bar" else base.mark_line(point=True)
    chart: alt.Chart = marked.encode(
        x=alt.X("utcyearmonthdatehours(hour):T", title=f"Hour ({zone})"),
        y=alt.Y(f"{value}:Q", title=title),
        color=alt.Color(f"{color}:N", title=color),
        tooltip=_tooltip(shown, (value, color), hour="utcyearmonthdatehours(hour):T"),
    )
    return chart


def per_model(frame: pd.DataFrame, value: str, title: str) -> alt.Chart | Note:
    """Chart a column as one bar per model, the largest first.

    Args:
        frame: A frame of `litellm_hub.usage` with the columns `model` and `value`.
        value: Column to show; rows where it is missing are left out.
        title: Title of the value axis, with its unit.

    Returns:
        The chart, or a note if there is nothing to chart.
    """
    shown = frame.dropna(subset=[value])
    if shown.empty:
        return _nothing(title)
    bars = alt.Chart(shown, width=_WIDTH).mark_bar()
    chart: alt.Chart = bars.encode(
        x=alt.X(f"{value}:Q", title=title),
        y=alt.Y("model:N", sort="-x", title=None),
        tooltip=_tooltip(shown, ("model", *(name for name in shown.columns if name != "model"))),
    )
    return chart


def table(frame: pd.DataFrame, nothing: str) -> pd.DataFrame | Note:
    """Return the frame, or a note that says `nothing` when it has no rows."""
    return Note(nothing) if frame.empty else frame


def _nothing(title: str) -> Note:
    return Note(f"{title}: nothing to show yet. Ask a model something in chat.ipynb, wait some seconds, run again.")


def _tooltip(frame: pd.DataFrame, names: tuple[str, ...], *, hour: str = "") -> list[alt.Tooltip]:
    times = [alt.Tooltip(hour, title="hour", format="%Y-%m-%d %H:%M")] if hour else []
    kinds = {name: "Q" if pd.api.types.is_numeric_dtype(frame[name]) else "N" for name in names}
    return [*times, *(alt.Tooltip(f"{name}:{kind}", title=name) for name, kind in kinds.items())]


def _bundle(spec: dict[str, Any], **_options: Any) -> dict[str, Any]:
    return {_MIME: {**spec, "$schema": _SCHEMA}, "text/plain": "A Vega-Lite chart; open the notebook in JupyterLab."}
