"""`python -m litellm_hub.workbench bring|end|remove [--check]`: what the workbench has of its people on the host.

Reads a JSON object from its input: `lab_home`, `auth` (native, pam), and for `bring` `register` (what the class's
register holds, null where there is none), `prefix` (of the accounts' names), `database_place`. Prints what was done,
a line each. Runs as root.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

from litellm_hub.workbench import people
from litellm_hub.workbench.accounts import AccountError, Accounts


def write(file: Path, text: str) -> list[str]:
    """Write a file that root alone reads, as a whole; tell what was done."""
    if file.exists() and file.read_text() == text:
        return []
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    beside.replace(file)
    return [f"write {file.name}"]


def run(verb: str, settings: dict[str, Any], check: bool) -> list[str]:
    """Do what is asked, and tell it.

    Raises:
        AccountError: It cannot be done; the message says why.
    """
    home, own = Path(settings["lab_home"]), settings["auth"] == "native"
    file = home / "config/jupyterhub/people.json"
    accounts = Accounts(home, own=own, check=check)
    if verb == "remove":
        return accounts.remove()
    if verb == "end":
        accounts.end(accounts.mine())
        names = {person.account for person in people.load(file).values()}
        accounts.end([entry for entry in pwd.getpwall() if entry.pw_name in names], f"{home}:person/")
        return accounts.done
    prefix = settings["prefix"] if own else ""
    wanted = people.from_register(settings["register"] or {}, prefix, settings["database_place"])
    done = accounts.bring(wanted)
    return done if check else done + write(file, people.text(wanted))


def main() -> None:
    """Command line."""
    try:
        print("\n".join(run(sys.argv[1], json.load(sys.stdin), "--check" in sys.argv)))
    except (AccountError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
