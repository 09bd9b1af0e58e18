"""The panels under axe, zoomed, in forced colours and without motion, with everything open that can be opened."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pretend import STATIC, PretendedView, answer, user
from tests.browser.test_view_usage import shown

pytestmark = pytest.mark.ui

# JupyterLab's own colours of its two themes.
THEMES = {
    "light": "--jp-layout-color1: #fff; --jp-ui-font-color1: rgba(0, 0, 0, 0.87); --jp-brand-color1: #1976d2;"
    "--jp-error-color1: #d32f2f; --jp-warn-color1: #f57c00; --jp-success-color1: #388e3c;"
    "--jp-content-link-color: #1976d2; --jp-layout-color2: #eee; --jp-ui-font-color2: rgba(0, 0, 0, 0.54);"
    "--jp-border-color2: #e0e0e0",
    "dark": "--jp-layout-color1: #212121; --jp-ui-font-color1: rgba(255, 255, 255, 0.87); --jp-brand-color1: #2196f3;"
    "--jp-error-color1: #ef5350; --jp-warn-color1: #ffb300; --jp-success-color1: #66bb6a;"
    "--jp-content-link-color: #64b5f6; --jp-layout-color2: #424242; --jp-ui-font-color2: rgba(255, 255, 255, 0.54);"
    "--jp-border-color2: #424242",
}
TEXT = """# Head

Some **bold** words, `code`, a [link](https://a.example/) and $x^2$.

- [x] done
- one
  1. two

| a | b |
|---|---|
| 1 | 2 |

```python
def f(x: int) -> str:  # note
    return "a" + str(x)
```

> A quote.

![a chart](https://a.example/i.png)
"""
FIGURES = {"first_token_s": 0.2, "tokens_per_s": 80, "prompt_tokens": 12, "completion_tokens": 30, "cost": 0.001}
CALL = {"id": "t", "name": "load", "arguments": '{"a": 1}', "state": "asking", "result": "", "at": 0, "round": 0}
TOOLS = [{"name": "load", "description": "Load a table.", "approval": "ask"}]


def offences(page: Page, axe: str, where: str = "main") -> list[str]:
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(
        "([where, rules]) => axe.run(where, {runOnly: rules})",
        [where, ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]],
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node['any'][0]['message'] if node['any'] else one['help']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def dress(view: PretendedView, theme: str) -> None:
    view.page.add_style_tag(content=f":root {{ {THEMES[theme]} }} body {{ background: var(--jp-layout-color1) }}")
    view.page.evaluate("(light) => { document.body.dataset.jpThemeLight = light; }", str(theme == "light").lower())
    view.page.emulate_media(reduced_motion="reduce")
    view.reply("module", {"buffers": [(STATIC / "math.js").read_text(encoding="utf-8")]})


METERS = {"spend": 4.9, "max_budget": 5, "context_used": 1500, "context_limit": 2048}
ITEM = {"id": "c1", "title": "A", "updated": "2026-01-01T00:00:00Z", "entries": 1, "snippet": "s", "problem": ""}
BROKEN = ITEM | {"id": "c2", "title": "B", "problem": "It is broken."}
LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8").partition("\n")[2].strip()
# Zoomed is half of 1280 by 1000, which is 200 %; beside the work a chat gets yet less of that.
SIZES = {"zoomed": (640, 500), "narrow": (320, 900), "beside": (206, 900), "wide": (1000, 1000)}


def chat_views(page: Page, theme: str = "light") -> Iterator[str]:
    """Go through what a chat panel can show, and name it."""
    view = PretendedView(page, tools=TOOLS, meters=METERS)
    dress(view, theme)
    view.render()
    yield "empty"
    view.replay(
        user(1, "Prompt", attachments=[{"name": "df", "kind": "DataFrame", "tokens": 12}]),
        answer(2, TEXT, figures=FIGURES, branch={"index": 0, "count": 2}),
        user(3, "Another"),
        answer(4, "Half", "cut", reason="The hub died.", remedy="Start it.", retry=True, figures=FIGURES),
    )
    expect(page.locator("math")).to_have_count(1)
    page.get_by_label("Copy the answer").first.focus()
    yield "answers"
    page.get_by_label("Edit the prompt and ask again").last.click()
    page.get_by_label("Delete the prompt").first.click()
    yield "a prompt that is edited, another to be deleted"
    page.keyboard.press("Escape")
    page.get_by_label("Edited prompt").press("Escape")
    view.event("path", keep=4, entries=[user(5, "Tools"), answer(6, "", "waiting", calls=[CALL])], busy=True)
    page.evaluate("""model.set("status", {state: "down", reason: "No hub.", remedy: "Start it."})""")
    page.get_by_label("Settings").click()
    yield "tools, trouble and settings"
    page.get_by_label("Settings").click()
    view.reply("complete", {"items": [{"name": "df", "kind": "DataFrame", "summary": "5 rows"}]})
    view.reply(
        "preview", {"items": [{"name": "df", "kind": "DataFrame", "text": "x", "tokens": 3}], "tokens": 3, "limit": 2}
    )
    page.get_by_label("Prompt", exact=True).press_sequentially("See @d")
    expect(page.locator(".lab-chat-option")).to_have_count(1)
    yield "completion"
    page.keyboard.press("Enter")
    page.get_by_label("Show exactly what will be sent").click()
    expect(page.locator(".lab-chat-preview pre")).to_be_visible()
    yield "preview"
    page.keyboard.press("Escape")
    view.reply(
        "conversations",
        {"items": [ITEM, BROKEN], "current": "c1"},
    )
    page.get_by_role("button", name="Conversations", exact=True).click()
    for form in ("Rename", "Export", "Remove"):
        page.get_by_label(f"{form} A").click()
        yield f"conversations, {form}"


def comparison_views(page: Page, theme: str = "light") -> Iterator[str]:
    """Go through what a comparison can show, and name it."""
    view = PretendedView(page, "compare")
    dress(view, theme)
    view.render()
    yield "empty"
    view.replay(
        user(1, "Prompt", round="r1", choice=None),
        answer(2, TEXT, figures=FIGURES, column=0, round="r1"),
        answer(3, "Short.", figures=FIGURES, model="n", column=1, round="r1"),
    )
    expect(page.locator("math")).to_have_count(1)
    yield "answers"
    view.event("choice", round="r1", choice="e3")
    yield "the choice"


def usage_views(page: Page, theme: str = "light") -> Iterator[str]:
    """Go through what a dashboard can show, and name it."""
    view = PretendedView(page, "usage")
    dress(view, theme)
    view.render()
    yield "asking"
    shown(view)
    expect(page.locator("svg.marks")).to_have_count(1)
    yield "charts"
    view.fire({"type": "problem", "reason": "The log does not answer.", "remedy": "Start it."})
    view.fire({"type": "warnings", "warnings": ["The disk is full."]})
    yield "trouble"


VIEWS = {"chat": chat_views, "comparison": comparison_views, "usage": usage_views}


# Contrast hangs on the theme and what overlaps on the size, hardly anything on both.
@pytest.mark.parametrize(("theme", "size"), [("light", "wide"), ("dark", "narrow")])
@pytest.mark.parametrize("panel", list(VIEWS))
def test_a_panel_has_no_barriers_and_keeps_still(page: Page, axe: str, panel: str, theme: str, size: str) -> None:
    resize(page, size)
    found = []
    for name in VIEWS[panel](page, theme):
        found += [f"{name}: {one}" for one in (*offences(page, axe), *page.evaluate(f"{LOOKS}.motion()"))]
    assert not found, "\n".join(found)


def resize(page: Page, size: str) -> None:
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})


@pytest.mark.parametrize(("panel", "size"), [*itertools.product(VIEWS, ["narrow", "zoomed"]), ("chat", "beside")])
def test_nothing_is_cut_off_at_200_percent_nor_at_320_pixels(page: Page, panel: str, size: str) -> None:
    resize(page, size)
    found = [f"{name}: {one}" for name in VIEWS[panel](page) for one in page.evaluate(f"{LOOKS}.cut()")]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("panel", list(VIEWS))
def test_controls_and_what_is_chosen_show_in_forced_colours(page: Page, panel: str) -> None:
    page.emulate_media(forced_colors="active")
    found = [f"{name}: {one}" for name in VIEWS[panel](page) for one in page.evaluate(f"{LOOKS}.colourless()")]
    assert not found, "\n".join(found)
