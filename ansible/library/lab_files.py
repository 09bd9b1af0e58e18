#!/usr/bin/python
"""Ansible module: several small files in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_files
short_description: Write files from given contents
description:
  - The same as a loop over M(ansible.builtin.template), in a fraction of its time.
  - Possible in check mode where the folders do not exist yet.
  - Each file is replaced whole or not at all.
options:
  files:
    description: Files with C(path), C(content), and optionally C(mode) (0644), C(owner) and C(group).
    type: list
    elements: dict
    required: true
author: GenAI Labs
"""

RETURN = r"""
digest:
  description: Stands for all files with their contents.
  type: str
  returned: always
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_ownership import own
from ansible.module_utils.lab_versioned import digest_of

PUBLIC = "0644"


def write(module: AnsibleModule, file: dict) -> bool:
    """Bring one file to its content and mode; return whether it changed."""
    path, content = Path(file["path"]), file["content"]
    changed = not path.exists() or path.read_text(encoding="utf-8") != content
    mode = file.get("mode") or PUBLIC
    if changed and not module.check_mode:
        temporary = os.path.join(module.tmpdir, path.name)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
            opened.write(content)
        module.atomic_move(temporary, str(path))
    if path.exists():
        changed = own(module, str(path), mode, file.get("owner"), file.get("group")) or changed
    return changed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "no_log": False}},
        supports_check_mode=True,
    )
    changed = [file["path"] for file in module.params["files"] if write(module, file)]
    digest = digest_of(*(text for file in module.params["files"] for text in (file["path"], file["content"])))
    module.exit_json(changed=bool(changed), written=changed, digest=digest)


if __name__ == "__main__":
    main()
