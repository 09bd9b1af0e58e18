"""What the usage dashboard shows for a choice of filters: queries in, plain values for the browser out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast, get_args

import altair as alt
import pandas as pd
from sqlalchemy import Engine

from litellm_hub import usage
from litellm_hub.usage import charts
from litellm_hub.usage.frames import valid_zone
from litellm_hub.usage.tables import NOBODY

Who = Literal["model", "user", "team", "key_alias"]
Measure = Literal["requests", "total_tokens", "spend", "failures"]

SPANS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}
PAGE = 25
_TITLES: dict[Measure, str] = {
    "requests": "Requests",
    "total_tokens": "Tokens",
    "spend": "Spend in US dollars",
    "failures": "Failures",
}
_LONGEST: tuple[tuple[timedelta, usage.Grain], ...] = (
    (timedelta(hours=8), "quarter"),
    (timedelta(days=8), "hour"),
    (timedelta(days=120), "day"),
    (timedelta(days=731), "week"),
)
_OTHER = "(others)"
_MOST_COLOURS = 7


@dataclass(frozen=True)
class Choice:
    """What the reader chose.

    Attributes:
        span: A key of `SPANS`, "all", or "custom" for `since` and `until`.
        since: Begin of a custom span, as the clock of `zone` shows it (ISO 8601).
        until: Its end.
        model: Only this model; empty for all. Likewise `user`, `team`, `key_alias`, `status`.
        user: See `model`.
        team: See `model`.
        key_alias: See `model`.
        status: "success", "failure" or empty.
        zone: IANA name of the time zone of all clocks.
        measure: What the charts count.
        by: What they tell apart.
    """

    span: str = "7d"
    since: str = ""
    until: str = ""
    model: str = ""
    user: str = ""
    team: str = ""
    key_alias: str = ""
    status: str = ""
    zone: str = "UTC"
    measure: Measure = "requests"
    by: Who = "model"

    @classmethod
    def read(cls, given: dict[str, Any]) -> Choice:
        """Take a choice from a browser's message.

        Raises:
            ValueError: Something in it is not to be had; says what, in words.
        """
        known = {name: value for name, value in given.items() if name in cls.__dataclass_fields__}
        if not all(isinstance(value, str) for value in known.values()):
            raise ValueError("The choice is damaged: every part of it is a text.")
        choice = cls(**known)
        if choice.span not in (*SPANS, "all", "custom"):
            raise ValueError(f"There is no time range {choice.span!r}.")
        if choice.measure not in get_args(Measure) or choice.by not in get_args(Who):
            raise ValueError(f"There is no chart of {choice.measure!r} by {choice.by!r}.")
        if choice.status not in ("", "success", "failure"):
            raise ValueError(f"There is no status {choice.status!r}.")
        valid_zone(choice.zone)
        choice.where(datetime.now(UTC))
        return choice

    def where(self, now: datetime) -> usage.UsageFilter:
        """Return the choice as a filter, its open end at `now`."""
        since, until = None, now
        if self.span in SPANS:
            since = now - SPANS[self.span]
        elif self.span == "custom":
            since, until = self._instant(self.since, "from"), self._instant(self.until, "to")
            if until <= since:
                raise ValueError("The time range ends before it begins: put the earlier date first.")
        return usage.UsageFilter(
            since=since,
            until=until,
            model=self.model or None,
            user=self.user or None,
            team=self.team or None,
            key_alias=self.key_alias or None,
            status=cast(Literal["success", "failure"], self.status) if self.status else None,
        )

    def _instant(self, text: str, which: str) -> datetime:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"The date in “{which}” is missing or no date.") from None
        there = pd.Timestamp(found).tz_localize(self.zone, ambiguous=True, nonexistent="shift_forward")
        return there.to_pydatetime()


def view(engine: Engine, choice: Choice, now: datetime) -> dict[str, Any]:
    """Ask for everything that the dashboard shows above its table.

    Args:
        engine: What `usage.connect` returned.
        choice: What the reader chose.
        now: The end of every range that has none.

    Returns:
        `tiles` (list), `charts` (Vega-Lite specifications or texts, by place), `options` (names to choose from),
        `grain`, `keys` (each with its budgets), `empty` (whether the log has no request at all that the reader could
        choose), `freshness`.
    """
    where = choice.where(now)
    options = _options(engine, where)
    grain = _grain(engine, where, now)
    return {
        "tiles": tiles(engine, where),
        "charts": _charts(engine, choice, where, grain),
        "options": options,
        "grain": grain,
        "keys": keys(engine, choice),
        "empty": not options["model"] and bool(usage.totals(engine, by=())["requests"].sum() == 0),
        "freshness": usage.freshness(engine).state,
    }


def rows(
    engine: Engine, choice: Choice, now: datetime, bucket: tuple[str, str] | None, before: usage.Cursor | None
) -> tuple[list[dict[str, Any]], usage.Cursor | None]:
    """List a page of the requests behind the charts, the latest first.

    Args:
        engine: What `usage.connect` returned.
        choice: What the reader chose.
        now: The end of every range that has none.
        bucket: Only those of this time, begin and end as the clock of the zone shows them; None for all.
        before: Where the page before ended; None for the first.

    Returns:
        The rows, and where the page after begins; None after the last one.
    """
    if bucket:
        choice = replace(choice, span="custom", since=bucket[0], until=bucket[1])
    page = usage.requests(engine, choice.where(now), limit=PAGE, before=before, tz=choice.zone)
    shown = page[["model", "status", "error_class", "error_code", "user", "team", "key_alias"]].copy()
    for name in ("prompt_tokens", "completion_tokens", "spend", "duration_s", "first_token_s"):
        shown[name] = page[name]
    shown.insert(0, "time", page["started_at"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    shown["cache_hit"] = page["cache_hit"]
    records = [{str(name): _plain(value) for name, value in row.items()} for row in shown.to_dict("records")]
    return records, usage.cursor(page) if len(page) == PAGE else None


def keys(engine: Engine, choice: Choice) -> list[dict[str, Any]]:
    """List the keys that the reader has chosen by user, team or alias, and what is left of each one's budgets."""
    frame = usage.keys(engine, tz=choice.zone)
    for name in ("user", "team", "key_alias"):
        if chosen := getattr(choice, name):
            frame = frame[frame[name] == chosen]
    for name in ("last_active", "reset_at"):
        frame[name] = frame[name].dt.strftime("%Y-%m-%d %H:%M")
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def tiles(engine: Engine, where: usage.UsageFilter) -> list[dict[str, Any]]:
    """Return the figures at the top, each with its change against the span before of the same length."""
    now = _figures(engine, where)
    before: dict[str, float | None] = {}
    if where.since and where.until:
        length = where.until - where.since
        before = _figures(engine, replace(where, since=where.since - length, until=where.since))
    kinds = (
        ("requests", "Requests", "count", None),
        ("total_tokens", "Tokens", "count", None),
        ("spend", "Spend (made-up prices)", "money", None),
        ("failure_rate", "Failed", "share", False),
        ("latency", "Median answer", "seconds", False),
        ("first_token", "Median first token", "seconds", False),
        ("speed", "Median tokens/s", "rate", True),
    )
    return [
        {"name": name, "title": title, "kind": kind, "more_is_better": better, "value": now[name]}
        | {"before": before.get(name)}
        for name, title, kind, better in kinds
    ]


def _figures(engine: Engine, where: usage.UsageFilter) -> dict[str, float | None]:
    total = usage.totals(engine, where, by=())
    found = {name: _first(total, name) for name in ("requests", "total_tokens", "spend", "failure_rate")}
    measures: dict[str, Callable[..., pd.DataFrame]] = {
        "latency": usage.latency,
        "first_token": usage.time_to_first_token,
        "speed": usage.tokens_per_second,
    }
    return found | {name: _first(ask(engine, where, by=()), "p50") for name, ask in measures.items()}


def _first(frame: pd.DataFrame, name: str) -> float | None:
    return None if frame.empty else cast("float | None", _plain(frame[name].iloc[0]))


def _options(engine: Engine, where: usage.UsageFilter) -> dict[str, list[str]]:
    """Return the names that occur in the time span, whatever else is chosen."""
    span = usage.UsageFilter(since=where.since, until=where.until)
    names: tuple[Who, ...] = ("model", "user", "team", "key_alias")
    return {name: sorted(usage.people(engine, span, by=(name,), limit=1000)[name].dropna()) for name in names}


def _grain(engine: Engine, where: usage.UsageFilter, now: datetime) -> usage.Grain:
    since = where.since
    if since is None:
        months = usage.volume(engine, where, by=(), grain="month")["time"]
        since = now if months.empty else months.iloc[0].to_pydatetime()
    length = (where.until or now) - since
    return next((grain for longest, grain in _LONGEST if length <= longest), "month")


def _charts(engine: Engine, choice: Choice, where: usage.UsageFilter, grain: usage.Grain) -> dict[str, Any]:
    measure, title = choice.measure, _TITLES[choice.measure]
    volume = _few(usage.volume(engine, where, by=(choice.by,), grain=grain, tz=choice.zone), choice.by, measure)
    time = charts.over_time(
        volume,
        measure,
        title,
        grain=grain,
        color=choice.by,
        since=where.since,
        until=where.until,
        width="container",
        height=230,
    )
    if isinstance(time, alt.Chart):
        time = time.add_params(alt.selection_interval(name="brush", encodings=["x"]))
    speed = usage.latency(engine, where, by=(), grain=grain, tz=choice.zone)
    lines = speed.melt("time", ["p50", "p95"], "percentile", "seconds") if len(speed) else speed.assign(seconds=0.0)
    ranks = usage.people(engine, where, by=(choice.by,), limit=200)
    errors = usage.error_taxonomy(engine, where)
    kinds = errors.groupby("error_class", dropna=False)["requests"].sum().reset_index()
    drawn = {
        "time": time,
        "latency": charts.over_time(
            lines,
            "seconds",
            "Answer in seconds",
            grain=grain,
            mark="line",
            color="percentile",
            since=where.since,
            until=where.until,
            width="container",
        ),
        "who": charts.ranked(ranks, choice.by, measure, title, most=10, width="container"),
        "week": charts.week(
            usage.hour_of_week(engine, where, tz=choice.zone), "requests", "Requests", width="container", height=190
        ),
        "errors": charts.Note("Nothing failed in this time span.")
        if kinds.empty
        else charts.ranked(kinds, "error_class", "requests", "Failures", most=8, width="container"),
    }
    return {
        place: chart.text if isinstance(chart, charts.Note) else chart.to_dict(validate=False)
        for place, chart in drawn.items()
    }


def _few(volume: pd.DataFrame, by: Who, measure: Measure) -> pd.DataFrame:
    """Keep as many names as colours tell apart, and add up the others."""
    volume = volume.assign(**{by: volume[by].fillna(NOBODY[by])})
    largest = volume.groupby(by)[measure].sum().nlargest(_MOST_COLOURS).index
    if volume[by].nunique() > len(largest):
        volume.loc[~volume[by].isin(largest), by] = _OTHER
    return volume.groupby(["time", by])[measure].sum().reset_index()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: missing ones and what is no number as None."""
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value
