"""The month's usage as one HTML page: to read, to print and to send; it loads nothing from anywhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from zoneinfo import ZoneInfo

import altair as alt
import pandas as pd
import vl_convert
from altair.utils._importers import vl_version_for_vl_convert
from sqlalchemy import Engine

from litellm_hub.usage import charts
from litellm_hub.usage.filters import UsageFilter
from litellm_hub.usage.frames import valid_zone
from litellm_hub.usage.insight import Finding, complete, unusual_error_rate, unusual_volume
from litellm_hub.usage.people import error_taxonomy, people
from litellm_hub.usage.prices import CAVEAT, cloud_prices, energy, in_the_cloud
from litellm_hub.usage.speed import latency, time_to_first_token, tokens_per_second
from litellm_hub.usage.volume import hour_of_week, totals, volume

_PAGE = Path(__file__).with_name("report.html")
_WIDTH = 700
_NONE = "&ndash;"
_LIGHT = {"text": "#4a5160", "line": "#e2e6eb", "accent": "#3867d6", "ramp": ["#eef3fd", "#94b3ee", "#234a9f"]}
_DARK = {"text": "#b8c0cc", "line": "#363d49", "accent": "#7ea3ff", "ramp": ["#1c2536", "#4470bb", "#a3c0ff"]}
_PALETTE = ["#3867d6", "#e1812c", "#2a9d8f", "#b5468b", "#7f63c9", "#b8901c", "#5d7a8c", "#94a3b3"]
_USUAL_FROM = pd.DateOffset(weeks=8)  # what is usual is learnt from the weeks before the month, too


@dataclass(frozen=True)
class Month:
    """A calendar month on the clock of a zone.

    Attributes:
        begin: Its first instant.
        end: The first instant after it.
    """

    begin: datetime
    end: datetime

    @classmethod
    def of(cls, text: str, tz: str = "UTC") -> Month:
        """Read a month such as "2026-10".

        Raises:
            ValueError: It is no month, or `tz` is no time zone.
        """
        try:
            first = datetime.strptime(text, "%Y-%m")
        except ValueError:
            raise ValueError(f"month is {text!r}: write year and month, 2026-10 for instance") from None
        zone = ZoneInfo(valid_zone(tz))
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return cls(first.replace(tzinfo=zone), after.replace(tzinfo=zone))

    @property
    def where(self) -> UsageFilter:
        """The month's requests."""
        return UsageFilter(since=self.begin, until=self.end)

    @property
    def before(self) -> Month:
        """The month before."""
        year, month = divmod(self.begin.year * 12 + self.begin.month - 2, 12)
        return Month(self.begin.replace(year=year, month=month + 1), self.begin)


def write_report(engine: Engine, month: Month, path: str | Path, *, tz: str = "UTC") -> None:
    """Write the report of a month as a self-contained HTML page, whole or not at all.

    Args:
        engine: What `connect` returned.
        month: The month.
        path: The file; its folder must be there.
        tz: Time zone of all clocks in it.

    Raises:
        UsageError: The log cannot be read.
        OSError: The file cannot be written.
    """
    page = render(engine, month, tz=tz)
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def render(engine: Engine, month: Month, *, tz: str = "UTC") -> str:
    """Return the report as HTML.

    Args:
        engine: What `connect` returned.
        month: The month.
        tz: Time zone of all clocks in it.
    """
    total = totals(engine, month.where, by=())
    title = f"Usage in {month.begin:%B %Y}"
    running = " The month is not over yet." if month.end > datetime.now(UTC) else ""
    if not total["requests"].sum():
        body = f"<p class='note'>No requests in {month.begin:%B %Y}.{running}</p>"
    else:
        tiles = _tiles(engine, month)
        body = tiles + "".join(_sections(engine, month, total, tz))
    made = f"Made on {datetime.now(ZoneInfo(tz)):%Y-%m-%d %H:%M} from the hub's log; times are those of {escape(tz)}."
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(title=escape(title), body=body, made=made + running)


def _sections(engine: Engine, month: Month, total: pd.DataFrame, tz: str) -> list[str]:
    where = month.where
    days = volume(engine, where, grain="day", tz=tz)
    speed = latency(engine, where, by=(), grain="day", tz=tz)
    lines = speed.melt("time", ["p50", "p95"], "percentile", "seconds")
    errors = error_taxonomy(engine, where)
    cloud = in_the_cloud(total)
    prices = cloud_prices()
    over = charts.over_time
    slow = over(lines, "seconds", "Seconds", mark="line", color="percentile", width=_WIDTH)
    kwh = energy(total)
    return [
        _section("Requests a day", _svg(over(days, "requests", "Requests", width=_WIDTH))),
        _section("When they come", _svg(charts.week(hour_of_week(engine, where, tz=tz), "requests", "Requests"))),
        _section("Unusual hours", "".join(f"<p>{escape(each.words)}</p>" for each in _unusual(engine, month, tz))),
        _section("Models", _table(totals(engine, where), _COUNTED) + _table(_speeds(engine, where), _SPEED)),
        _section("How long answers take", _svg(slow)),
        _section("Users", _table(people(engine, where, limit=15), {"user": "User", **_COUNTED})),
        _section("Teams", _table(people(engine, where, by=("team",), limit=15), {"team": "Team", **_COUNTED})),
        _section("Failures", _table(errors.head(12), _FAILED) if len(errors) else "<p>None.</p>"),
        _section(
            "The same elsewhere",
            _table(cloud, {"model": "Model", "provider": "Provider", "cost": "US dollars"})
            + f"<p class='small'>Prices: {escape(prices.source)}, {prices.as_of}. {escape(CAVEAT)}</p>"
            + f"<p class='small'>Energy, at 4 J a token of the answer and 0.4 J a token of the prompt: {kwh:,.2f} kWh"
            " at most for small models.</p>",
        ),
    ]


_COUNTED = {
    "model": "Model",
    "requests": "Requests",
    "failures": "Failed",
    "prompt_tokens": "Prompt tokens",
    "completion_tokens": "Answer tokens",
    "spend": "US dollars",
}
_SPEED = {
    "model": "Model",
    "p50": "Median s",
    "p95": "p95 s",
    "first": "First token, median s",
    "speed": "Tokens/s, median",
}
_FAILED = {"error_class": "Kind", "error_code": "Code", "model": "Model", "requests": "Requests", "share": "Share"}


def _speeds(engine: Engine, where: UsageFilter) -> pd.DataFrame:
    found = latency(engine, where)[["model", "p50", "p95"]]
    for name, ask in (("first", time_to_first_token), ("speed", tokens_per_second)):
        found = found.merge(ask(engine, where)[["model", "p50"]].rename(columns={"p50": name}), "left", "model")
    return found


def _unusual(engine: Engine, month: Month, tz: str) -> list[Finding]:
    since = pd.Timestamp(month.begin) - _USUAL_FROM
    learnt = UsageFilter(since=since.to_pydatetime(), until=month.end)
    hours = volume(engine, learnt, by=(), grain="hour", tz=tz)
    until = min(month.end, datetime.now(UTC))
    hourly = complete(hours, ("requests", "failures"), grain="hour", until=until)
    return [unusual_volume(hourly), unusual_error_rate(hourly)]


def _tiles(engine: Engine, month: Month) -> str:
    now, then = (_figures(engine, each.where) for each in (month, month.before))
    shown = []
    for name, (value, text) in now.items():
        old = then[name][0]
        change = f"{value / old - 1:+.0%} to the month before" if old and value is not None else ""
        shown.append(f"<div class='tile'><span>{name}</span><strong>{text}</strong><small>{change}</small></div>")
    return f"<div class='tiles'>{''.join(shown)}</div>"


def _figures(engine: Engine, where: UsageFilter) -> dict[str, tuple[float | None, str]]:
    """Return each figure, None where there is none, and as text."""
    total = totals(engine, where, by=())
    speed = latency(engine, where, by=())
    requests, tokens, spend = (float(total[name].sum()) for name in ("requests", "total_tokens", "spend"))
    failed = float(total["failures"].sum()) / requests if requests else None
    median = float(speed["p50"].iloc[0]) if len(speed) else None
    users = len(people(engine, where, limit=10_000)["user"].dropna())
    return {
        "Requests": (requests, f"{requests:,.0f}"),
        "Tokens": (tokens, f"{tokens:,.0f}"),
        "Spend": (spend, f"${spend:,.2f}"),
        "Users": (users, f"{users:,}"),
        "Failed": (failed, _NONE if failed is None else f"{failed:.1%}"),
        "Median answer": (median, _NONE if median is None else f"{median:.2f} s"),
    }


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _svg(chart: alt.Chart | alt.LayerChart | charts.Note) -> str:
    """Draw a chart twice, for light and for dark screens; the page shows one of them."""
    if isinstance(chart, charts.Note):
        return f"<p>{escape(chart.text)}</p>"
    drawn = []
    for name, colours in (("light", _LIGHT), ("dark", _DARK)):
        spec = {**chart.to_dict(validate=False), "config": _config(colours)}
        svg = vl_convert.vegalite_to_svg(spec, vl_version=vl_version_for_vl_convert())
        drawn.append(f"<div class='only-{name}'>{svg}</div>")
    return f"<figure>{''.join(drawn)}</figure>"


def _config(colours: Mapping[str, object]) -> dict[str, object]:
    text, line, accent = colours["text"], colours["line"], colours["accent"]
    return {
        "background": None,
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {"labelColor": text, "titleColor": text, "gridColor": line, "domainColor": line, "tickColor": line}
        | {"titleFontWeight": "normal"},
        "axisX": {"grid": False},
        "legend": {"labelColor": text, "titleColor": text, "symbolType": "circle"},
        "bar": {"fill": accent},
        "rect": {"fill": accent},
        "line": {"stroke": accent},
        "range": {"category": _PALETTE, "heatmap": colours["ramp"], "ramp": colours["ramp"]},
    }


def _table(frame: pd.DataFrame, columns: dict[str, str]) -> str:
    named = {name: title for name, title in columns.items() if name in frame}
    numeric = {name for name in named if pd.api.types.is_numeric_dtype(frame[name])}
    head = "".join(f"<th{_right(name in numeric)}>{escape(title)}</th>" for name, title in named.items())
    lines = []
    for row in frame[list(named)].to_dict("records"):
        cells = (f"<td{_right(name in numeric)}>{_cell(str(name), value)}</td>" for name, value in row.items())
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _right(number: bool) -> str:
    return " class='n'" if number else ""


def _cell(name: str, value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return _NONE
    if isinstance(value, float):
        return f"{value:.1%}" if name == "share" else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
