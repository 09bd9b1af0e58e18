"""An answer as HTML for a cell's output, where nothing cleans it: only what Markdown itself makes gets through."""

from __future__ import annotations

from html import escape

import mistune
from mistune.util import striptags


class _Renderer(mistune.HTMLRenderer):
    """Escapes HTML in the text, and makes links of images: loading one would tell its server who reads the answer."""

    SAFE_PROTOCOLS = ("http:", "https:", "mailto:")
    GOOD_DATA_PROTOCOLS = ()

    def __init__(self) -> None:
        super().__init__(escape=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return self.link(f"image: {escape(striptags(text))}", url, title)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, url, title).replace("<a ", '<a target="_blank" rel="noopener noreferrer" ', 1)


_markdown = mistune.create_markdown(renderer=_Renderer(), plugins=["table", "strikethrough", "math"])


def to_html(text: str) -> str:
    """Return the HTML of an answer in Markdown, without scripts, raw HTML and images."""
    return str(_markdown(text))
