"""JupyterLab's page for those who come without its token."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter_page import SECONDS

pytestmark = [pytest.mark.lab, pytest.mark.ui]


def test_the_login_page_says_how_to_get_in_and_takes_the_token(lab: Any, page: Page) -> None:
    page.goto(f"{lab.jupyter_url}/lab")
    expect(page.get_by_text("make login", exact=True)).to_be_visible()
    expect(page.get_by_text("jupyter server list")).to_have_count(0)
    token = page.get_by_label("Password or token:")
    token.fill("wrong")
    token.press("Enter")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()
    expect(page.get_by_text("make login", exact=True)).to_be_visible()
    token.fill(lab.jupyter_token)
    token.press("Enter")
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=60 * SECONDS)
