#!/usr/bin/python
"""Ansible module: secrets that are made once and kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_secrets
short_description: Keep generated secrets in a file of mode 0600
description:
  - A secret that the file holds is never changed; missing ones are added. The file is replaced whole or not at all.
options:
  path:
    description: The file, lines of NAME=value.
    type: path
    required: true
  secrets:
    description: Prefix of each secret by its name; the rest is random.
    type: dict
    required: true
  owner:
    description: Account that the file belongs to; empty for the caller.
    type: str
    default: ''
  group:
    description: Group of the file; empty for the caller's.
    type: str
    default: ''
author: GenAI Labs
"""

RETURN = r"""
secrets:
  description: Every secret of the file by name.
  type: dict
  returned: always
"""

import os
import secrets

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_ownership import own

RANDOM_BYTES = 32


def read(path: str) -> dict[str, str]:
    """Secrets that the file holds."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "secrets": {"type": "dict", "required": True, "no_log": False},
            "owner": {"type": "str", "default": ""},
            "group": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    kept = read(path)
    values = {
        name: prefix + secrets.token_urlsafe(RANDOM_BYTES) for name, prefix in module.params["secrets"].items()
    } | kept
    changed = values != kept
    if changed and not module.check_mode:
        temporary = os.path.join(module.tmpdir, "secrets")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(
                "# Made on the first run, never changed. Keep a copy: the salt key decrypts what the database holds.\n"
            )
            file.writelines(f"{name}={value}\n" for name, value in values.items())
        module.atomic_move(temporary, path)
    if os.path.exists(path):
        changed = own(module, path, "0600", module.params["owner"], module.params["group"]) or changed
    module.exit_json(changed=changed, secrets=values)


if __name__ == "__main__":
    main()
