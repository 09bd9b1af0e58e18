"""Write the packages' API pages, `PACKAGE/API.md`, from their docstrings: `make docs`.

With `--check` nothing is written; the exit code says whether all pages are up to date.
"""

import logging
import re
import sys
from pathlib import Path

import griffe
from griffe2md import ConfigDict, render_object_docs

ROOT = Path(__file__).resolve().parent.parent
# What users of a package call, in the order of the page.
PUBLIC = {
    "widgets": [
        "panels.chat_panel.ChatPanel",
        "panels.compare_panel.ComparePanel",
        "conversations.handle.AnswerHandle",
        "conversations.history.as_frame",
        "magic.ChatMagics.chat",
        "tools.tool.Tool",
        "tools.tool.ToolResult",
        "context.variables.attach",
        "context.variables.candidates",
        "storage.transcript.to_markdown",
        "storage.transcript.to_notebook",
        "storage.transcript.to_json",
    ],
    "litellm_hub": ["client.HubClient", "client.HubStatus", "client.ModelInfo", "stream.ChatStream", "errors.*"],
}
SETTINGS: ConfigDict = {
    "docstring_style": "google",
    "docstring_section_style": "list",
    "filters": ["!^_", "!^kind$"],
    "heading_level": 2,
    "members_order": "source",
    "show_bases": False,
    "show_category_heading": False,
    "show_docstring_functions": False,
    "show_if_no_docstring": False,
    "show_object_full_path": False,
    "show_root_full_path": False,
    "show_root_members_full_path": False,
    "summary": False,
}
LINK = re.compile(r"\[([^\[\]]+)\]\(#[^)]*\)")  # to anchors that no page has


def expanded(module: griffe.Module, path: str) -> list[str]:
    """A path; where it ends in a star, those of all classes of the module."""
    if not path.endswith(".*"):
        return [path]
    owner = path.removesuffix(".*")
    return [
        f"{owner}.{name}" for name, member in module[owner].members.items() if not member.is_alias and member.is_class
    ]


def page(package: str) -> str:
    """A package's page."""
    module = griffe.load(package, search_paths=[ROOT], docstring_parser="google")
    parts = [f"# API of `{package}`", f"Import from `{package}` or the module that is named."]
    for path in (each for pattern in PUBLIC[package] for each in expanded(module, pattern)):
        text = render_object_docs(module[path], SETTINGS).strip()
        heading, _, rest = text.partition("\n")
        parts += [heading, f"`{package}.{path.rpartition('.')[0] or path}`", rest.strip()]
    text = LINK.sub(r"\1", "\n\n".join(parts))
    text = re.sub(r"</?code>", "`", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return f"{text}\n\n<!-- written by `make docs` from the docstrings -->\n"


def main() -> int:
    """Write or check the pages."""
    logging.disable()  # lists of exceptions without a colon are as we want them
    stale = 0
    for package in PUBLIC:
        target = ROOT / package / "API.md"
        text = page(package)
        if target.exists() and target.read_text() == text:
            continue
        stale += 1
        if "--check" in sys.argv[1:]:
            print(f"{target.relative_to(ROOT)} is out of date: make docs")
        else:
            target.write_text(text)
            print(target.relative_to(ROOT))
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
