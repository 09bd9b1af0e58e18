#!/usr/bin/python
"""Ansible module: a service's virtual environment from a lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_venv
short_description: Make a virtual environment from a requirements file with hashes
description:
  - The environment's folder carries the digest of its lock, so an update is installed beside the running version,
    and a failed one changes nothing. With nothing to install no network is needed.
  - Older versions but the last are removed.
options:
  folder:
    description: Where the environments lie.
    type: path
    required: true
  name:
    description: Name of the environment.
    type: str
    required: true
  requirements:
    description: The locked requirements, on the controller.
    type: path
    required: true
  python:
    description: The interpreter.
    type: path
    required: true
  uv:
    description: The uv executable.
    type: path
    required: true
author: GenAI Labs
"""

RETURN = r"""
path:
  description: The environment.
  type: str
  returned: always
site_packages:
  description: Its folder of packages.
  type: str
  returned: always
"""

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_host import python_version
from ansible.module_utils.lab_versioned import digest_of, is_complete, make, older_versions


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "requirements": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
            "uv": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    requirements = Path(params["requirements"])
    version = python_version(params["python"])
    if version is None:
        module.fail_json(msg=f"lab_python={params['python']!r} does not run. Name a Python 3.11 or newer.")
    digest = digest_of(requirements.read_bytes(), params["python"], str(version))
    environment = Path(params["folder"]) / f"{params['name']}-{digest}"
    result = {
        "path": str(environment),
        "site_packages": str(environment / "lib" / f"python{version[0]}.{version[1]}" / "site-packages"),
    }
    if is_complete(environment):
        module.exit_json(changed=point_to(environment, params["name"], module.check_mode), **result)
    if module.check_mode:
        module.exit_json(changed=True, **result)

    def build(folder: Path) -> None:
        # Byte code is made now: the accounts that run the services may not write here.
        run(module, [params["uv"], "venv", "--quiet", "--python", params["python"], str(folder)])
        run(
            module,
            [
                params["uv"],
                "pip",
                "sync",
                "--quiet",
                "--require-hashes",
                "--no-build",  # a package's own code does not run while it is installed, as root least of all
                "--compile-bytecode",
                "--python",
                str(folder / "bin/python"),
                str(requirements),
            ],
        )
        make_readable(folder)

    make(environment, build)
    point_to(environment, params["name"], module.check_mode)
    for old in older_versions(environment)[:-1]:
        shutil.rmtree(old)
    module.exit_json(changed=True, **result)


def point_to(environment: Path, name: str, check_mode: bool) -> bool:
    """Let the environment's plain name lead to it; return whether it led elsewhere."""
    link = environment.with_name(name)
    if link.is_symlink() and link.readlink() == Path(environment.name):
        return False
    if not check_mode:
        fresh = environment.with_name(f".{name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(environment.name)
        fresh.replace(link)
    return True


def make_readable(folder: Path) -> None:
    """Open folders and files to the services' accounts, whatever the caller's umask is."""
    for root, _, files in os.walk(folder):
        os.chmod(root, 0o755)
        for name in files:
            path = os.path.join(root, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & 0o777 | (0o555 if os.access(path, os.X_OK) else 0o444))


def run(module: AnsibleModule, command: list[str]) -> None:
    """Run uv; a failure ends the module with uv's own words and a remedy."""
    environment = {
        "UV_SYSTEM_CERTS": "true",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    code, out, err = module.run_command(command, environ_update=environment)
    if code != 0:
        words = (err or out).strip()
        remedy = (
            "Make room on this disk."
            if "No space left" in words
            else "A package index is needed: PyPI, or a mirror named by UV_DEFAULT_INDEX in the environment."
        )
        module.fail_json(
            msg=f"The environment '{module.params['name']}' could not be installed; nothing that runs was touched."
            f" {remedy}\n{words}",
            cmd=command,
        )


if __name__ == "__main__":
    main()
