"""The usage dashboard in JupyterLab, on a log with known requests and on the lab's own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import SECONDS, JupyterPage
from tests.support.usage_database import Database, make_full_database
from tests.support.usage_truth import truth

pytestmark = [pytest.mark.lab, pytest.mark.ui]
PATIENT = 180 * SECONDS  # Vega is bundled when the first dashboard of a kernel is made
REQUESTS = ".lab-usage-requests:not(.lab-usage-keys) tbody tr"


@pytest.fixture(scope="module")
def full(scratch_postgres: Any, gateway_env: Any) -> Database:
    return make_full_database(scratch_postgres, gateway_env, "dashboard_full")


def show(jupyter_page: JupyterPage, database: str | None = None, span: str = "all") -> Locator:
    address = f", database={database!r}" if database else ""
    cell = f"from widgets import UsageDashboard\nUsageDashboard({span!r}{address})"
    jupyter_page.open(cell, "import threading\nthreading.Event().wait(600)").run_cell(0)
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
    rows = dashboard.locator(REQUESTS)
    expect(rows).to_have_count(min(25, len(chosen)), timeout=PATIENT)
    expect(rows.first.locator("[data-name=user]")).to_have_text("ada")

    # On to the pages behind.
    if len(chosen) > 25:
        dashboard.get_by_role("button", name="Show more").click()
        expect(rows).to_have_count(min(50, len(chosen)), timeout=PATIENT)
    dashboard.get_by_role("button", name="Clear filters").click()
    expect(tile(dashboard, "Requests")).to_have_text(f"{len(happened):,}", timeout=PATIENT)

    # A click on a bar of time lists its requests, a drag zooms in.
    dashboard.get_by_label("Time zone", exact=True).fill("UTC")
    dashboard.get_by_label("Time zone", exact=True).press("Enter")
    ready(dashboard)
    bars(dashboard, "time").first.click()
    chip = dashboard.locator(".lab-usage-chip")
    expect(chip).to_contain_text(re.compile(r"\d{4}-"), timeout=PATIENT)
    day = re.findall(r"\d{4}-\d\d-\d\d", chip.inner_text())
    assert day[0] <= rows.first.locator("[data-name=time]").inner_text()[:10] <= day[1]
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
    expect(tile(dashboard, "Requests")).not_to_have_text(f"{len(happened):,}", timeout=PATIENT)
    assert 0 < int(tile(dashboard, "Requests").inner_text().replace(",", "")) < len(happened)

    # The page stays usable while a cell runs.
    jupyter_page.run_cell(1)
    dashboard.get_by_label("Status", exact=True).select_option("failure")
    expect(tile(dashboard, "Failed")).to_have_text("100.0 %", timeout=PATIENT)
    assert foreign == []


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
    expect(dashboard.locator(REQUESTS).first.locator("[data-name=model]")).to_have_text(lab.model)
