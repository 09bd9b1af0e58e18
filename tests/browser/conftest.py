"""Chromium, and JupyterLab in it.

The running lab comes from the fixture `lab`; of it `jupyter_url` and `jupyter_token` are used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import frontends
from tests.browser.frontends import Frontend
from tests.browser.jupyter_page import SECONDS, JupyterPage
from tests.browser.pretend import PretendedView, answer, user
from tests.support import frontend

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAILED = pytest.StashKey[bool]()
__all__ = ["ARGUMENTS", "CHROMIUM", "SECONDS", "JupyterPage"]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one for this folder: Playwright's loop must have ended before other tests run loops."""
    expect.set_options(timeout=20 * SECONDS)  # other workers are busy too
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed, for its fixtures."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty tab with cookies and settings of its own; a failed test leaves its picture in test-results/."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    tab = context.new_page()
    yield tab
    if request.node.stash.get(FAILED, False):
        name = re.sub(r"\W+", "-", request.node.name)
        tab.screenshot(path=request.config.rootpath / "test-results" / f"{name}.png")
    context.close()


@pytest.fixture
def view(page: Page) -> PretendedView:
    """The chat panel's script alone, with its replay: one prompt with its answer."""
    made = PretendedView(page).render()
    made.replay(user(1, "First?"), answer(2, "First *answer*."))
    return made


@pytest.fixture
def jupyter_page(lab: Any, page: Page) -> Iterator[JupyterPage]:
    """JupyterLab of the running lab; `open` or `open_file` makes the notebook."""
    jupyter = JupyterPage(page, lab.jupyter_url, lab.jupyter_token)
    yield jupyter
    jupyter.remove()


@pytest.fixture(scope="session")
def notebook7(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    """Notebook 7 on the lab's hub, one for the run."""
    with frontends.notebook7(lab, tmp_path_factory.mktemp("notebook7")) as running:
        yield running


@pytest.fixture(scope="session")
def voila(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    """Voilà on the lab's hub, one for the run."""
    with frontends.voila(lab, tmp_path_factory.mktemp("voila")) as running:
        yield running


@pytest.fixture(scope="package")
def axe() -> str:
    """The script of axe, which looks for barriers."""
    frontend.install()
    return (frontend.SOURCES / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def eventually(page: Page) -> Callable[..., None]:
    """Poll a condition until it is true; fail with `message` at the deadline, given in seconds."""

    def wait(condition: Callable[[], bool], message: str, timeout: float = 20.0) -> None:
        waited = 0.0
        while not condition():
            assert waited < timeout, message
            page.wait_for_timeout(50)  # lets the page's events be handled meanwhile
            waited += 0.05

    return wait
