#!/usr/bin/python
"""Ansible module: secrets that are made once and kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_secrets
short_description: Keep generated secrets in a file of mode 0600
description:
  - A secret that the file holds is never changed; missing ones are added. The file is replaced whole or not at all.
options:
  path: {description: "The file, lines of NAME=value.", type: path, required: true}
  secrets: {description: Prefix of each secret by its name; the rest is random., type: dict, required: true}
  owner: {description: Account that the file belongs to; empty for the caller., type: str, default: ""}
  group: {description: Group of the file; empty for the caller's., type: str, default: ""}
author: GenAI Labs
"""

RETURN = r"""
secrets: {description: Every secret of the file by name., type: dict, returned: always}
"""

import secrets
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_paths import put

RANDOM_BYTES = 32
HEAD = "# Made on the first run, never changed. Keep a copy: the salt key decrypts what the database holds.\n"


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
    path = Path(module.params["path"])
    try:
        content = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [line.strip() for line in content.splitlines()]
        kept = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        made = {name: prefix + secrets.token_urlsafe(RANDOM_BYTES) for name, prefix in module.params["secrets"].items()}
        values = made | kept
        if values != kept:
            content = HEAD + "".join(f"{name}={value}\n" for name, value in values.items())
        before, after = put(module.params | {"mode": "0600", "content": content}, module.check_mode)
    except (OSError, LookupError) as error:
        module.fail_json(msg=f"The secrets in {path} cannot be kept: {error}")
    module.exit_json(changed=before != after, secrets=values)


if __name__ == "__main__":
    main()
