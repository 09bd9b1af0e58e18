#!/usr/bin/python
"""Ansible module: many folders in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_layout
short_description: Make a set of folders with owner and mode
description:
  - The same as a loop over M(ansible.builtin.file), in a fraction of its time.
options:
  folders:
    description:
      - Folders in the order of their making, each with C(path), C(mode), C(owner) and C(group).
      - An empty owner or group is left as it is.
      - With C(adopt), what is in a folder that gets another owner goes to that owner too.
    type: list
    elements: dict
    required: true
author: GenAI Labs
"""

import os
import pwd
import shutil

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_ownership import own


def adopt(module: AnsibleModule, folder: dict) -> None:
    """Give the contents of a folder to its new owner, before the folder itself, so that a run cut short goes on."""
    owner, group = folder.get("owner"), folder.get("group")
    if module.check_mode or not owner or pwd.getpwnam(owner).pw_uid == os.stat(folder["path"]).st_uid:
        return
    for root, folders, files in os.walk(folder["path"]):
        for name in (*folders, *files):
            shutil.chown(os.path.join(root, name), owner, group or None)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"folders": {"type": "list", "elements": "dict", "required": True}}, supports_check_mode=True
    )
    changed = False
    for folder in module.params["folders"]:
        path = folder["path"]
        if not os.path.isdir(path):
            changed = True
            if module.check_mode:
                continue
            try:
                os.makedirs(path, mode=int(folder["mode"], 8))
            except OSError as error:
                module.fail_json(
                    msg=f"{path} cannot be made: {error.strerror}. Choose another lab_home, or make room there."
                )
        if folder.get("adopt"):
            adopt(module, folder)
        changed = own(module, path, folder["mode"], folder.get("owner"), folder.get("group")) or changed
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
