"""`python -m litellm_hub.workbench.server …`: a person's Jupyter server, started as the person's own account.

Brings the project's notebooks to the home, keeping what was changed there, and lays the links to the team's folders.
Then it becomes JupyterHub's single-user server, with the arguments given.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from litellm_hub.workbench.notebook_files import bring, read

NOTEBOOKS = "LAB_NOTEBOOKS"  # the folder they come from
LINKS = "LAB_LINKS"  # a JSON object: where each link of the home leads
LEDGER = ".local/share/genailabs/notebooks.json"


def bring_notebooks(source: Path, home: Path) -> list[Path]:
    """Bring a home's notebooks up to the project's; give those that were copied."""
    folder, ledger = home / "notebooks", home / LEDGER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the home of an account of the host's may be open
    ledger.parent.mkdir(parents=True, exist_ok=True)
    shipped = json.loads(ledger.read_text()) if ledger.exists() else {}
    wanted = read(source, platform.python_version())
    changed, _ = bring(wanted, shipped, folder, dry=False)
    ledger.write_text(json.dumps(shipped, indent=1, sort_keys=True))
    return [folder / name for name in changed if name in wanted and name.endswith(".ipynb")]


def lay_links(home: Path, links: dict[str, str]) -> None:
    """Let each name in a home lead to its folder; what is no link is left alone."""
    for name, target in links.items():
        link = home / name
        if link.is_symlink() and str(link.readlink()) != target:
            link.unlink()
        if not link.is_symlink() and not link.exists():
            link.symlink_to(target)


def main() -> None:
    """Command line."""
    programs, home = Path(sys.executable).parent, Path.home()
    os.umask(0o022)  # the home is closed to others; what is put into a team's folder is to be read there
    brought = bring_notebooks(Path(os.environ.pop(NOTEBOOKS)), home)
    lay_links(home, json.loads(os.environ.pop(LINKS)))
    if brought:  # JupyterLab would call them not trusted until they are run
        subprocess.run([programs / "jupyter-trust", *brought], check=True)
    command = programs / "jupyterhub-singleuser"
    os.execv(command, [str(command), *sys.argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
