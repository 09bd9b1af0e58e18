#!/usr/bin/python
"""Ansible module: a folder with its npm packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_npm
short_description: Copy a folder and install the packages of its package-lock.json
description:
  - The copy's name carries the digest of the source, so an update never touches the running version.
  - No package's install script is run.
options:
  source:
    description: Folder with package.json and package-lock.json, on the controller.
    type: path
    required: true
  folder:
    description: Where the copies lie.
    type: path
    required: true
  name:
    description: Name of the copy.
    type: str
    required: true
  node_bin:
    description: Folder with node and npm.
    type: path
    required: true
author: GenAI Labs
"""

RETURN = r"""
path:
  description: The copy.
  type: str
  returned: always
"""

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_versioned import ignored, is_complete, make, older_versions, tree_digest


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            name: {"type": kind, "required": True}
            for name, kind in (("source", "path"), ("folder", "path"), ("name", "str"), ("node_bin", "path"))
        },
        supports_check_mode=True,
    )
    source, node_bin = Path(module.params["source"]), module.params["node_bin"]
    target = Path(module.params["folder"]) / f"{module.params['name']}-{tree_digest(source)}"
    if is_complete(target):
        module.exit_json(changed=False, path=str(target))
    if module.check_mode:
        module.exit_json(changed=True, path=str(target))

    def build(folder: Path) -> None:
        shutil.copytree(source, folder, ignore=lambda _, names: [name for name in names if ignored(Path(name))])
        npm = f"{node_bin}/../lib/node_modules/npm/bin/npm-cli.js"
        # The system's certificates are what a company's proxy uses.
        environment = {
            "PATH": f"{node_bin}:{os.environ['PATH']}",
            "NODE_OPTIONS": "--use-system-ca",
            "npm_config_cache": f"{folder}/.npm",
            "npm_config_update_notifier": "false",
        }
        code, _out, err = module.run_command(
            [f"{node_bin}/node", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            environ_update=environment,
        )
        if code != 0:
            module.fail_json(
                msg=f"The packages of {source.name} could not be installed; nothing that runs was touched."
                " npm's registry is needed, or a mirror named by npm_config_registry in the environment."
                f"\n{err.strip()}"
            )
        shutil.rmtree(folder / ".npm", ignore_errors=True)
        for root, folders, files in os.walk(folder):
            for path in [os.path.join(root, name) for name in (*folders, *files)]:
                if not os.path.islink(path):
                    os.chmod(path, os.stat(path).st_mode & 0o777 | (0o555 if os.access(path, os.X_OK) else 0o444))
        os.chmod(folder, 0o755)

    make(target, build)
    for old in older_versions(target)[:-1]:
        shutil.rmtree(old)
    module.exit_json(changed=True, path=str(target))


if __name__ == "__main__":
    main()
