#!/usr/bin/python
"""Ansible module: bring folders of the project into the lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_tree
short_description: Copy folders
description:
  - Files that are new or differ are copied, those that left the source are removed from the copy.
options:
  sources:
    description: Folders to copy, as paths on the controller; each keeps its name below I(path).
    type: list
    elements: path
    required: true
  path:
    description: Where the copies go; must exist.
    type: path
    required: true
  ledger:
    description: File that remembers what was copied.
    type: path
    required: true
author: GenAI Labs
"""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_versioned import ignored


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "sources": {"type": "list", "elements": "str", "required": True},
            "path": {"type": "path", "required": True},
            "ledger": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    root, ledger, changed = Path(module.params["path"]), Path(module.params["ledger"]), False
    os.umask(0o022)
    wanted = {
        str(path.relative_to(Path(source).parent)): path.read_bytes()
        for source in module.params["sources"]
        for path in sorted(Path(source).rglob("*"))
        if path.is_file() and not ignored(path.relative_to(source))
    }
    shipped = json.loads(ledger.read_text()) if ledger.exists() else {}
    try:
        for name in wanted.keys() | set(shipped):
            target, content = root / name, wanted.get(name)
            if (target.read_bytes() if target.is_file() else None) == content:
                continue
            changed = True
            if module.check_mode:
                continue
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.new")
            fresh.write_bytes(content)
            fresh.replace(target)
        if sorted(shipped) != sorted(wanted) and not module.check_mode:
            ledger.write_text(json.dumps(sorted(wanted)))
    except OSError as error:
        module.fail_json(msg=f"The project's files: {error}. Make room, or look at that file's owner.")
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
