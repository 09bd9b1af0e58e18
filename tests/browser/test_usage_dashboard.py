"""The usage dashboard in JupyterLab, on a log with known requests, on the lab's own and on an empty one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import SECONDS, JupyterPage
from tests.support.usage_database import Database, make_database, make_full_database
from tests.support.usage_truth import truth

pytestmark = [pytest.mark.lab, pytest.mark.ui]
PATIENT = 180 * SECONDS  # Vega is bundled when the first dashboard of a kernel is made
Eventually = Callable[..., None]


@pytest.fixture(scope="module")
def full(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "dashboard_full")


def show(jupyter_page: JupyterPage, database: str | None = None, span: str = "all") -> Locator:
    address = f", database={database!r}" if database else ""
    cell = f"from widgets import UsageDashboard\nUsageDashboard({span!r}{address})"
    jupyter_page.open(cell).run_cell(0)
    dashboard = jupyter_page.page.locator(".lab-usage")
    dashboard.wait_for(timeout=PATIENT)
    return dashboard


def ready(dashboard: Locator) -> Locator:
    expect(dashboard.locator(".lab-usage-state")).to_contain_text("As of", timeout=PATIENT)
    expect(dashboard).not_to_have_class(re.compile("lab-usage-busy"), timeout=PATIENT)
    return dashboard


def tile(dashboard: Locator, title: str) -> Locator:
    return dashboard.locator(".lab-usage-tile", has=dashboard.page.get_by_text(title, exact=True)).locator("strong")


def bars(dashboard: Locator, place: str) -> Locator:
    return dashboard.locator(f"[data-place={place}] .lab-usage-chart > div:not(.lab-usage-stage) .mark-rect.marks path")


def test_figures_charts_and_rows_follow_every_choice(jupyter_page: JupyterPage, full: Database) -> None:
    foreign: list[str] = []
    jupyter_page.page.on(
        "request",
        lambda asked: foreign.append(asked.url) if re.match(r"https?://(?!127\.0\.0\.1)", asked.url) else None,
    )
    happened = truth()
    dashboard = ready(show(jupyter_page, full.reader))
    expect(tile(dashboard, "Requests")).to_have_text(f"{len(happened):,}")
    failed = happened["failed"].mean() * 100
    expect(tile(dashboard, "Failed")).to_have_text(f"{failed:.1f} %")
    for place in ("time", "latency", "who", "week", "errors"):
        expect(dashboard.locator(f"[data-place={place}] svg.marks")).to_be_visible(timeout=PATIENT)

    # A click on a bar of the ranking chooses its model everywhere.
    ranks = happened.groupby("model").size().sort_values(ascending=False)
    bars(dashboard, "who").first.click()
    expect(tile(dashboard, "Requests")).to_have_text(f"{ranks.iloc[0]:,}", timeout=PATIENT)
    expect(dashboard.get_by_label("Model", exact=True)).to_have_value(str(ranks.index[0]))
    dashboard.get_by_role("button", name="Clear filters").click()
    expect(tile(dashboard, "Requests")).to_have_text(f"{len(happened):,}", timeout=PATIENT)

    # Only failures, of one user.
    dashboard.get_by_label("Status", exact=True).select_option("failure")
    dashboard.get_by_label("User", exact=True).select_option("ada")
    chosen = happened[happened["failed"] & (happened["user"] == "ada")]
    expect(tile(dashboard, "Requests")).to_have_text(f"{len(chosen):,}", timeout=PATIENT)
    rows = dashboard.locator("tbody tr")
    expect(rows).to_have_count(min(25, len(chosen)), timeout=PATIENT)
    expect(rows.first.locator("[data-name=user]")).to_have_text("ada")

    # On to the pages behind.
    if len(chosen) > 25:
        dashboard.get_by_role("button", name="Show more").click()
        expect(rows).to_have_count(min(50, len(chosen)), timeout=PATIENT)
    assert foreign == []


def test_a_click_on_a_bar_of_time_lists_its_requests_and_a_drag_zooms_in(
    jupyter_page: JupyterPage, full: Database
) -> None:
    dashboard = ready(show(jupyter_page, full.reader))
    dashboard.get_by_label("Time zone", exact=True).fill("UTC")
    dashboard.get_by_label("Time zone", exact=True).press("Enter")
    ready(dashboard)
    bar = bars(dashboard, "time").first
    bar.wait_for(timeout=PATIENT)
    bar.click()
    chip = dashboard.locator(".lab-usage-chip")
    expect(chip).to_contain_text("2026-", timeout=PATIENT)
    day = re.findall(r"\d{4}-\d\d-\d\d", chip.inner_text())
    first = dashboard.locator("tbody tr").first.locator("[data-name=time]")
    shown = first.inner_text()[:10]
    assert day[0] <= shown <= day[1]
    chip.get_by_role("button").click()
    expect(chip).to_be_hidden(timeout=PATIENT)

    chart = dashboard.locator("[data-place=time] svg.marks")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    mouse = jupyter_page.page.mouse
    mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.3, steps=5)
    mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.3, steps=5)
    mouse.up()
    expect(dashboard.get_by_role("button", name="Dates")).to_have_attribute("aria-pressed", "true", timeout=PATIENT)
    expect(tile(dashboard, "Requests")).not_to_have_text(f"{len(truth()):,}", timeout=PATIENT)
    total = int(tile(dashboard, "Requests").inner_text().replace(",", ""))
    assert 0 < total < len(truth())


def test_charts_follow_the_theme(jupyter_page: JupyterPage, full: Database, eventually: Eventually) -> None:
    dashboard = ready(show(jupyter_page, full.reader))
    label = dashboard.locator("[data-place=time] svg.marks .role-axis-label text").first
    label.wait_for(timeout=PATIENT)
    before = label.get_attribute("fill")
    body = jupyter_page.page.locator("body")
    was_light = body.get_attribute("data-jp-theme-light") == "true"
    try:
        choose_theme(jupyter_page, "JupyterLab Dark" if was_light else "JupyterLab Light")
        eventually(lambda: label.get_attribute("fill") != before, "the charts keep their colours", timeout=60)
    finally:  # the lab remembers the theme
        choose_theme(jupyter_page, "JupyterLab Light" if was_light else "JupyterLab Dark")
        expect(body).to_have_attribute("data-jp-theme-light", "true" if was_light else "false", timeout=PATIENT)


def test_charts_follow_the_room_that_a_sidebar_leaves(
    jupyter_page: JupyterPage, full: Database, eventually: Eventually
) -> None:
    dashboard = ready(show(jupyter_page, full.reader))
    chart = dashboard.locator("[data-place=time] svg.marks")
    chart.wait_for(timeout=PATIENT)
    room = dashboard.locator("[data-place=time] .lab-usage-chart")

    def fits() -> bool:
        inner, outer = chart.bounding_box(), room.bounding_box()
        return bool(inner and outer and abs(inner["width"] - outer["width"]) < 20)

    eventually(fits, "the chart does not fill its room")
    before = chart.bounding_box()
    jupyter_page.page.locator("#jp-main-dock-panel").click(position={"x": 5, "y": 5})
    jupyter_page.page.keyboard.press("Control+b")
    eventually(lambda: chart.bounding_box() != before, "the chart keeps its size")
    eventually(fits, "the chart does not fill its new room")


def choose_theme(jupyter_page: JupyterPage, name: str) -> None:
    jupyter_page.page.locator(".lm-MenuBar-itemLabel", has_text="Settings").click()
    jupyter_page.page.locator(".lm-Menu-itemLabel", has_text="Theme").first.click()
    jupyter_page.page.locator(".lm-Menu-itemLabel", has_text=name).first.click()


def test_an_empty_log_shows_a_friendly_page(jupyter_page: JupyterPage, scratch_postgres: Any, gateway_env: Any) -> None:
    empty = make_database(scratch_postgres, gateway_env, "dashboard_empty")
    dashboard = ready(show(jupyter_page, empty.reader, "7d"))
    expect(dashboard.get_by_text("No requests yet")).to_be_visible()
    expect(dashboard.locator(".lab-usage-tiles")).to_be_hidden()


def test_a_log_that_does_not_answer_says_what_to_do(jupyter_page: JupyterPage) -> None:
    dashboard = show(jupyter_page, "postgresql://lab_reader:wrong@127.0.0.1:1/litellm")
    problem = dashboard.get_by_role("alert")
    expect(problem).to_contain_text("The database at 127.0.0.1:1 does not answer.", timeout=PATIENT)
    expect(problem).to_contain_text("make up")
    assert "wrong" not in dashboard.inner_text()


def test_the_page_stays_usable_while_a_cell_runs(jupyter_page: JupyterPage, full: Database) -> None:
    address = f"from widgets import UsageDashboard\nUsageDashboard('all', database={full.reader!r})"
    jupyter_page.open(address, "import threading\nthreading.Event().wait(600)")
    jupyter_page.run_cell(0)
    dashboard = jupyter_page.page.locator(".lab-usage")
    dashboard.wait_for(timeout=PATIENT)
    ready(dashboard)
    jupyter_page.run_cell(1)
    dashboard.get_by_label("Status", exact=True).select_option("failure")
    expect(tile(dashboard, "Failed")).to_have_text("100.0 %", timeout=PATIENT)


def test_the_lab_s_own_log_is_shown(lab: Any, jupyter_page: JupyterPage) -> None:
    lab.hub(
        "/v1/chat/completions",
        {"model": lab.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4},
        key=lab.notebook_key,
    )
    dashboard = ready(show(jupyter_page, None, "24h"))

    def counted() -> str:
        dashboard.get_by_role("button", name="Refresh").click()
        ready(dashboard)
        return tile(dashboard, "Requests").inner_text() if tile(dashboard, "Requests").is_visible() else "0"

    for _ in range(60):  # a row is in the log some seconds after its answer
        if counted() != "0":
            break
        jupyter_page.page.wait_for_timeout(500)
    assert counted() != "0"
    expect(dashboard.locator("tbody tr").first.locator("[data-name=model]")).to_have_text(lab.model)
