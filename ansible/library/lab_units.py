#!/usr/bin/python
"""Ansible module: all systemd units of a lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_units
short_description: Stop or remove all systemd units of a lab
description:
  - The lab's units are those whose files name it, so nothing has to be known about what was installed.
  - A unit that a vendor shipped loses the lab's drop-in and is otherwise left alone.
options:
  home:
    description: The lab's folder.
    type: path
    required: true
  state:
    description: Stopped ones stay down after a reboot as well.
    type: str
    choices: [stopped, absent]
    default: stopped
author: GenAI Labs
"""

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_systemd import Systemd, marked_files, unit_of


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["stopped", "absent"], "default": "stopped"},
        },
        supports_check_mode=True,
    )
    files = [path for found in marked_files(module.params["home"]).values() for path in found]
    if module.params["state"] == "absent":
        module.exit_json(changed=Systemd(module).remove(files))
    module.exit_json(changed=bool(files) and Systemd(module).stop(sorted({unit_of(path) for path in files})))


if __name__ == "__main__":
    main()
