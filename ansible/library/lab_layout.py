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
    type: list
    elements: dict
    required: true
author: GenAI Labs
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_ownership import own


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
        changed = own(module, path, folder["mode"], folder.get("owner"), folder.get("group")) or changed
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
