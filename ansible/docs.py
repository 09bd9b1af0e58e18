"""Write each role's page, `roles/NAME/README.md`, from its argument specification: `make docs`.

With `--check` nothing is written; the exit code says whether all pages are up to date.
"""

import sys
from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parent / "roles"


def paragraphs(text: str | list[str]) -> list[str]:
    """A description's paragraphs, one line each."""
    return [" ".join(part.split()) for part in ([text] if isinstance(text, str) else text)]


def row(name: str, option: dict) -> str:
    """One line of the table of variables."""
    default = option.get("default", "")
    shown = f"`{str(default).lower() if isinstance(default, bool) else default}`" if default != "" else "(empty)"
    kind = (
        ", ".join(f"`{choice}`" for choice in option["choices"]) if "choices" in option else option.get("type", "str")
    )
    return f"| `{name}` | {kind} | {shown} | {' '.join(paragraphs(option['description']))} |"


def page(role: Path) -> str:
    """A role's page."""
    specification = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    lines = [f"# {role.name}", "", f"{specification['short_description']}.", ""]
    if description := paragraphs(specification.get("description", [])):
        lines += [*(f"- {text}" for text in description), ""]
    options = specification.get("options") or {}
    if options:
        lines += ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [row(name, option) for name, option in options.items()]
    else:
        lines.append("It has no variables of its own; the lab's are in `ansible/group_vars/all/`.")
    return "\n".join([*lines, "", "<!-- written by `make docs` from meta/argument_specs.yml -->", ""])


def main() -> None:
    """Write or check all pages."""
    stale = []
    for specification in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = specification.parents[1]
        target, text = role / "README.md", page(role)
        if target.exists() and target.read_text() == text:
            continue
        stale.append(role.name)
        if "--check" not in sys.argv:
            target.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"These roles' pages are not up to date, run `make docs`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
