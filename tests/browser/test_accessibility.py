"""The panels under axe: light and dark, wide and narrow, with everything open that can be opened."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pretend import STATIC, PretendedView, answer, user
from tests.support import frontend

pytestmark = pytest.mark.ui

# JupyterLab's own colours of its two themes.
THEMES = {
    "light": "--jp-layout-color1: #fff; --jp-ui-font-color1: rgba(0, 0, 0, 0.87); --jp-brand-color1: #1976d2;"
    "--jp-error-color1: #d32f2f; --jp-warn-color1: #f57c00; --jp-success-color1: #388e3c;"
    "--jp-content-link-color: #1976d2",
    "dark": "--jp-layout-color1: #212121; --jp-ui-font-color1: #fff; --jp-brand-color1: #2196f3;"
    "--jp-error-color1: #ef5350; --jp-warn-color1: #ffb300; --jp-success-color1: #66bb6a;"
    "--jp-content-link-color: #64b5f6",
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


@pytest.fixture(scope="module")
def axe() -> str:
    frontend.install()
    return (frontend.SOURCES / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def offences(page: Page, axe: str) -> list[str]:
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(
        "(rules) => axe.run('.lab-chat', {runOnly: rules})",
        ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
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


@pytest.mark.parametrize("width", [320, 1000])
@pytest.mark.parametrize("theme", list(THEMES))
def test_the_chat_panel_has_no_barriers(page: Page, axe: str, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    meters = {"spend": 4.9, "max_budget": 5, "context_used": 1500, "context_limit": 2048}
    view = PretendedView(page, tools=TOOLS, meters=meters)
    dress(view, theme)
    view.render()
    found = {"empty": offences(page, axe)}
    view.replay(
        user(1, "Prompt", attachments=[{"name": "df", "kind": "DataFrame", "tokens": 12}]),
        answer(2, TEXT, figures=FIGURES, branch={"index": 0, "count": 2}),
        user(3, "Another"),
        answer(4, "Half", "cut", reason="The hub died.", remedy="Start it.", retry=True, figures=FIGURES),
    )
    expect(page.locator("math")).to_have_count(1)
    page.get_by_label("Copy the answer").first.focus()
    found["answers"] = offences(page, axe)
    view.event("path", keep=4, entries=[user(5, "Tools"), answer(6, "", "waiting", calls=[CALL])], busy=True)
    page.evaluate("""model.set("status", {state: "down", reason: "No hub.", remedy: "Start it."})""")
    page.get_by_label("Settings").click()
    found["tools, trouble and settings"] = offences(page, axe)
    page.get_by_label("Settings").click()
    view.reply("complete", {"items": [{"name": "df", "kind": "DataFrame", "summary": "5 rows"}]})
    view.reply(
        "preview", {"items": [{"name": "df", "kind": "DataFrame", "text": "x", "tokens": 3}], "tokens": 3, "limit": 2}
    )
    page.get_by_label("Prompt", exact=True).press_sequentially("See @d")
    expect(page.locator(".lab-chat-option")).to_have_count(1)
    found["completion"] = offences(page, axe)
    page.keyboard.press("Enter")
    page.get_by_label("Show exactly what will be sent").click()
    expect(page.locator(".lab-chat-preview pre")).to_be_visible()
    found["preview"] = offences(page, axe)
    page.keyboard.press("Escape")
    item = {"id": "c1", "title": "A", "updated": "2026-01-01T00:00:00Z", "entries": 1, "snippet": "s", "problem": ""}
    broken = item | {"id": "c2", "title": "B", "problem": "It is broken."}
    view.reply("conversations", {"items": [item, broken], "current": "c1"})
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.get_by_label("Remove A").click()
    found["conversations"] = offences(page, axe)
    all_found = [f"{when}: {what}" for when, offence in found.items() for what in offence]
    assert not all_found, "\n".join(all_found)


@pytest.mark.parametrize("theme", list(THEMES))
def test_the_comparison_has_no_barriers(page: Page, axe: str, theme: str) -> None:
    view = PretendedView(page, "compare")
    dress(view, theme)
    view.render()
    view.replay(
        user(1, "Prompt", round="r1"),
        answer(2, TEXT, figures=FIGURES, column=0, round="r1"),
        answer(3, "Short.", figures=FIGURES, model="n", column=1, round="r1"),
    )
    expect(page.locator("math")).to_have_count(1)
    found = offences(page, axe)
    assert not found, "\n".join(found)
