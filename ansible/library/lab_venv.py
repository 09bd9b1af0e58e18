#!/usr/bin/python
"""Ansible module: a service's virtual environment from a lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_venv
short_description: Make a virtual environment from a requirements file with hashes
description:
  - The environment's folder carries the digest of its lock, so an update is installed beside the running version,
    and a failed one changes nothing. With nothing to install no network is needed.
  - One builds an environment at a time; what outlives a run that was killed is waited for.
  - Older versions but the last are removed.
options:
  folder: {description: Where the environments lie., type: path, required: true}
  name: {description: Name of the environment., type: str, required: true}
  requirements: {description: "The locked requirements, as text.", type: str, required: true}
  python: {description: The interpreter., type: path, required: true}
  uv: {description: The uv executable., type: path, required: true}
author: GenAI Labs
"""

RETURN = r"""
path: {description: The environment., type: str, returned: always}
site_packages: {description: Its folder of packages., type: str, returned: always}
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_host import python_version

UV = {
    "UV_SYSTEM_CERTS": "true",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "PYTHONDONTWRITEBYTECODE": "",  # byte code is made now: the accounts that run the services may not write there
}
# A package's own code does not run while it is installed, as root least of all.
SYNC = ["pip", "sync", "--quiet", "--require-hashes", "--no-build", "--compile-bytecode"]


def build(module: AnsibleModule, folder: Path, lock: int) -> None:
    """Fill an environment's folder and mark it as complete; a failure leaves nothing and ends the module.

    Args:
        module: The running module.
        folder: The final place (environments are not movable).
        lock: Descriptor of the lock's file. uv holds it too, should this process be killed before it.
    """
    params, complete = module.params, False
    requirements = Path(module.tmpdir) / "requirements.txt"
    requirements.write_text(params["requirements"])
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for arguments in (
            ["venv", "--quiet", "--python", params["python"], str(folder)],
            [*SYNC, "--python", f"{folder}/bin/python", str(requirements)],
        ):
            command = [params["uv"], *arguments]
            code, out, err = module.run_command(command, environ_update=UV, pass_fds=[lock])
            if code != 0:
                words = (err or out).strip()
                remedy = "A package index is needed: PyPI, or a mirror named by UV_DEFAULT_INDEX in the environment."
                if "No space left" in words:
                    remedy = "Make room on this disk."
                module.fail_json(
                    msg=f"The environment '{params['name']}' could not be installed; nothing that runs was touched."
                    f" {remedy}\n{words}",
                    cmd=command,
                )
        make_readable(folder)
        (folder / ".complete").touch()
        complete = True
    finally:
        if not complete:
            shutil.rmtree(folder, ignore_errors=True)


def make_readable(folder: Path) -> None:
    """Open folders and files to the services' accounts, whatever the caller's umask is."""
    for root, _, files in os.walk(folder):
        os.chmod(root, 0o755)
        for path in (os.path.join(root, name) for name in files):
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & 0o777 | (0o555 if os.access(path, os.X_OK) else 0o444))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "requirements": {"type": "str", "required": True},
            "python": {"type": "path", "required": True},
            "uv": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    version = python_version(params["python"])
    if version is None:
        module.fail_json(msg=f"lab_python={params['python']!r} does not run. Name a Python 3.11 or newer.")
    made_of = hashlib.sha256(f"{params['requirements']}\0{params['python']} {version}".encode())
    folder, name = Path(params["folder"]), params["name"]
    environment = folder / f"{name}-{made_of.hexdigest()[:12]}"
    packages = environment / "lib/python{}.{}/site-packages".format(*version)
    result = {"path": str(environment), "site_packages": str(packages)}
    link = folder / name
    changed = not (environment / ".complete").is_file() or os.path.realpath(link) != os.path.realpath(environment)
    if module.check_mode or not changed:
        module.exit_json(changed=changed, **result)
    with open(folder / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / ".complete").is_file():
            build(module, environment, lock.fileno())
            others = [path for path in folder.glob(f"{name}-*") if path.name.rpartition("-")[0] == name]
            for old in sorted(others, key=lambda path: path.stat().st_mtime)[:-2]:
                shutil.rmtree(old)
        fresh = folder / f".{name}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(environment.name)
        fresh.replace(link)
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
