"""Owner, group and mode of files that the lab's modules write."""

from __future__ import annotations

import grp
import pwd


def known(owner: str | None, group: str | None) -> bool:
    """Whether the host has the account and the group; empty ones count as known."""
    try:
        return bool((not owner or pwd.getpwnam(owner)) and (not group or grp.getgrnam(group)))
    except KeyError:
        return False


def own(module, path: str, mode: str, owner: str | None, group: str | None) -> bool:
    """Bring a path to its mode, owner and group.

    Args:
        module: The running module.
        path: Must exist.
        mode: Octal digits.
        owner: Account; empty leaves it as it is.
        group: Group; empty leaves it as it is.

    Returns:
        Whether anything changed.
    """
    if module.check_mode and not known(owner, group):
        return True  # the run itself makes the account first
    wanted = {"path": path, "mode": mode, "owner": owner or None, "group": group or None}
    return module.set_fs_attributes_if_different(wanted | {"secontext": [None] * 3, "attributes": None}, False)
