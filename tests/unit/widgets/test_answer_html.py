"""Answers as HTML for outputs that nothing cleans."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from widgets.answer_html import to_html

ALLOWED = {
    *("p", "h1", "h2", "h3", "ul", "ol", "li", "pre", "code", "em", "strong", "del", "blockquote", "hr", "br"),
    *("table", "thead", "tbody", "tr", "th", "td", "a", "span", "div"),
}
HOSTILE = [
    "<script>alert(1)</script>",
    "text <img src=x onerror=alert(1)> text",
    "<svg/onload=alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<style>@import 'https://evil.example'</style>",
    "![alt](https://evil.example/x.png)",
    "![alt<script>](https://evil.example/x.png 'title\" onerror=alert(1)')",
    "![][r]\n\n[r]: https://evil.example/x.png",
    "[![alt](https://evil.example/x.png)](https://evil.example)",
    "[a](javascript:alert(1))",
    "[a](JaVa\tScRiPt:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](%6aavascript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](data:image/png;base64,AAAA)",
    "[a](vbscript:x) [b](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a]",
    '[a](https://x.example "t\\" onmouseover=alert(1) x=\\"")',
    "$<img src=x onerror=alert(1)>$ and $$</div><script>alert(1)</script>$$",
    '```"onmouseover=alert(1)\n</code><script>alert(1)</script>\n```',
    "`<script>alert(1)</script>`",
    "|<img src=x onerror=alert(1)>|\n|-|\n|<script>x</script>|",
    "<a href='javascript:alert(1)' onclick=alert(1)>x</a>",
    "<!--><script>alert(1)</script>-->",
]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_runs_and_nothing_is_loaded(text: str) -> None:
    for tag, attributes in Tags(to_html(text)).found:
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "title", "class", "target", "rel", "style"}
        assert attributes.get("style") in {None, "text-align:left", "text-align:center", "text-align:right"}
        address = attributes.get("href") or "#"
        assert address.startswith(("#", "https://", "http://", "mailto:"))


def test_an_image_becomes_a_link_that_says_so() -> None:
    html = to_html("![The *sea*](https://example.org/sea.png)")
    assert '<a target="_blank" rel="noopener noreferrer" href="https://example.org/sea.png">image: The sea</a>' in html


def test_tables_code_and_formulas_are_kept() -> None:
    html = to_html("|a|\n|-|\n|1|\n\n```python\nx < 1\n```\n\n$a_b_c$")
    for part in ("<td>1</td>", '<code class="language-python">x &lt; 1', r"\(a_b_c\)"):
        assert part in html
