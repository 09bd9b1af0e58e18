"""All hand-outs as one page to print: a sheet of paper for each person."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from litellm_hub.people.register import write

NAME = "all.html"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>Hand-outs</title>
<style>
  body {{ font: 11pt/1.5 system-ui, sans-serif; max-width: 42em; margin: 2em auto; padding: 0 1em; }}
  body {{ color: #111; background: #fff }}
  section {{ border-bottom: 1px dashed #777; padding-bottom: 1em }}
  pre {{ font: 10pt/1.5 ui-monospace, monospace; padding: .6em 1em; border: 1px solid #bbb }}
  pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
  @page {{ margin: 2cm }}
  @media print {{
    body {{ margin: 0 }}
    section {{ border: 0; break-after: page }}
    section:last-child {{ break-after: auto }}
  }}
</style>
{sections}
</html>
"""


def print_all(folder: Path, names: Iterable[str]) -> list[str]:
    """Bring the page for printing to the hand-outs of some people; without any it is removed.

    Args:
        folder: Where the hand-outs are, and the page.
        names: Whose are printed.

    Returns:
        What was done, in words.
    """
    page = folder / NAME
    sections = [section((folder / f"{name}.md").read_text()) for name in names]
    if not sections:
        there = page.exists()
        page.unlink(missing_ok=True)
        return [f"remove {NAME}"] if there else []
    return [f"write {NAME}"] if write(page, PAGE.format(sections="\n".join(sections))) else []


def section(text: str) -> str:
    """A hand-out's headings, paragraphs, indented lines and `code` as HTML."""
    parts = []
    for part in text.strip("\n").split("\n\n"):
        words = html.escape(part)
        if part.startswith("    "):
            parts.append(f"<pre>{textwrap.dedent(words)}</pre>")
        elif part.startswith("# "):
            parts.append(f"<h1>{words[2:]}</h1>")
        else:
            parts.append("<p>" + re.sub("`(.+?)`", r"<code>\1</code>", words) + "</p>")
    return "<section>\n" + "\n".join(parts) + "\n</section>"
