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


def test_keys_show_what_is_left_of_each_budget(view: PretendedView) -> None:
    anna = {"user": "anna", "team": "class-a", "key_alias": "anna", "blocked": False, "last_active": "2026-05-19 10:00"}
    ben = {"user": "ben", "team": "class-a", "key_alias": "ben", "blocked": True, "last_active": None}
    budget = {"left": 4.5, "max_budget": 5.0, "budget_duration": "30d", "reset_at": "2026-06-01 00:00"}
    shorter = {"left": 0.0, "max_budget": 1.0, "budget_duration": "1d", "reset_at": "2026-05-21 00:00"}
    none = dict.fromkeys(budget)
    shown(view, keys=[anna | budget, anna | shorter, ben | none])
    rows = view.page.locator(".lab-usage-keys tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0).locator("td")).to_have_text(
        ["anna", "class-a", "anna", "open", "$4.50", "$5.00", "30d", "2026-06-01 00:00", "2026-05-19 10:00"]
    )
    expect(rows.nth(1).locator("td")).to_have_text(["", "", "", "", "$0.00", "$1.00", "1d", "2026-05-21 00:00", ""])
    expect(view.page.locator(".lab-usage-closed")).to_have_text(["$0.00", "blocked"])
    expect(rows.nth(2).locator("td")).to_have_text(["ben", "class-a", "ben", "blocked", "", "none", "", "", "never"])
    shown(view, keys=[])
    expect(view.page.locator(".lab-usage-keys")).to_be_hidden()
