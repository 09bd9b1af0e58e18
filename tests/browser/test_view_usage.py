"""The usage dashboard's script alone, with a pretended model in place of a kernel."""

from __future__ import annotations

import re
from typing import Any

import altair as alt
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from litellm_hub.usage import charts
from tests.browser.pretend import PretendedView
from widgets.panels.usage_view import Choice

pytestmark = pytest.mark.ui

CHART = {
    "width": "container",
    "height": 100,
    "data": {"values": [{"time": f"2026-05-{day:02}", "requests": day} for day in range(1, 20)]},
    "mark": "bar",
    "encoding": {"x": {"field": "time", "type": "ordinal"}, "y": {"field": "requests", "type": "quantitative"}},
}


@pytest.fixture
def view(page: Page) -> PretendedView:
    return PretendedView(page, "usage").render()


def shown(view: PretendedView, **fields: Any) -> None:
    """Have the kernel answer."""
    options: dict[str, list[str]] = {"model": [], "user": [], "team": [], "key_alias": []}
    tile = {"title": "Requests", "kind": "count", "value": 19, "before": 10, "more_is_better": None}
    message = {"choice": vars(Choice(span="all")), "at": "2026-05-20T00:00:00Z", "options": options, "grain": "day"}
    drawn = {"time": CHART, "who": "Nothing failed."}
    view.fire(
        {"type": "view", **message, "tiles": [tile], "charts": drawn, "empty": False, "freshness": "fresh"} | fields
    )


def test_an_empty_log_shows_a_friendly_page(view: PretendedView) -> None:
    shown(view, empty=True, charts={})
    expect(view.page.get_by_text("No requests yet")).to_be_visible()
    expect(view.page.locator(".lab-usage-tiles")).to_be_hidden()


def test_a_log_that_does_not_answer_says_what_to_do(view: PretendedView) -> None:
    view.fire({"type": "problem", "reason": "The database does not answer.", "remedy": "Run make up."})
    expect(view.page.get_by_role("alert")).to_have_text("The database does not answer. Run make up.")
    expect(view.page.locator(".lab-usage-content")).to_be_hidden()
    shown(view)
    expect(view.page.get_by_role("alert")).to_be_hidden()
    expect(view.page.locator(".lab-usage-tile").first).to_have_text("Requests19+90 % vs. before")
    expect(view.page.get_by_text("Nothing failed.")).to_be_visible()


def test_a_first_question_that_is_lost_is_asked_again(page: Page) -> None:
    view = PretendedView(page, "usage").render()
    page.wait_for_function("window.sent.filter((message) => message.type === 'open').length > 1")
    view.fire({"type": "busy", "busy": True})
    view.fall_silent()
    page.get_by_role("button", name="Refresh").focus()
    expect(page.get_by_role("alert")).to_contain_text("The kernel does not answer.", timeout=6000)


def test_an_answer_to_an_older_choice_does_not_undo_the_latest(view: PretendedView) -> None:
    shown(view)
    status = view.page.get_by_label("Status", exact=True)
    status.select_option("failure")
    shown(view)
    expect(status).to_have_value("failure")
    view.page.wait_for_function("window.sent.some((one) => one.type === 'choose')")
    assert [one["choice"]["status"] for one in view.sent("choose")] == ["failure"]


def test_charts_follow_the_theme(view: PretendedView) -> None:
    shown(view)
    bar = view.page.locator("[data-place=time] svg.marks .mark-rect path").first
    before = bar.get_attribute("fill")
    assert before
    view.page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    expect(bar).not_to_have_attribute("fill", before)


def test_charts_follow_the_room_that_a_sidebar_leaves(view: PretendedView) -> None:
    shown(view)
    chart = view.page.locator("[data-place=time] svg.marks")
    wide = chart.get_attribute("width")
    assert wide
    view.page.evaluate("document.getElementById('el').style.width = '500px'")
    expect(chart).not_to_have_attribute("width", wide)
    expect(chart).to_have_attribute("width", re.compile(r"^4\d\d"))


def test_a_line_lies_on_the_time_axis_that_was_chosen(view: PretendedView) -> None:
    since, until = (pd.Timestamp(f"2026-05-{day:02}T10:20:30", tz="UTC") for day in (1, 8))
    hours = pd.date_range(since.floor("h"), until, freq="h", unit="us")
    seconds = pd.DataFrame({"time": hours, "seconds": 1.0, "percentile": "p50"})
    line = charts.over_time(
        *(seconds, "seconds", "Answer in seconds"), grain="hour", mark="line", color="percentile", width="container",
        since=since, until=until,
    )  # fmt: skip
    assert isinstance(line, alt.Chart)
    shown(view, charts={"latency": line.to_dict(validate=False)})
    axis = view.page.locator(".mark-text.role-axis-label").first
    expect(axis).to_contain_text("2 May")
    expect(axis).to_contain_text("8 May")
    points = view.page.locator(".mark-symbol.role-mark path")
    places = points.evaluate_all("all => all.map((each) => Number(/[-0-9.]+/.exec(each.getAttribute('transform'))))")
    assert len(places) == len(hours)
    assert places == sorted(set(places))
