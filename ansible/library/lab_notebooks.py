#!/usr/bin/python
"""Ansible module: bring the project's notebooks to people who work in them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_notebooks
short_description: Copy notebooks, and keep what people changed in the copies
description:
  - Files that are new or differ are copied, those that left the source are removed.
  - A file that somebody changed or removed since it was copied is left alone.
  - A notebook tells the version of the Python that will run it; else JupyterLab would tell it when it is opened, and
    mark it as changed before anybody touched it.
  - All is read and written as the account that owns the folder; its links lead nobody else anywhere.
options:
  source: {description: Folder whose contents are copied., type: path, required: true}
  path: {description: Where the copies go., type: path, required: true}
  ledger: {description: File that remembers what was copied., type: path, required: true}
  python: {description: The interpreter of the notebooks' kernels., type: path, required: true}
author: GenAI Labs
"""

RETURN = r"""
brought: {description: Notebooks that were copied., type: list, returned: always}
kept:
  description: Files with changes of their own that a newer version of the project would have replaced.
  type: list
  returned: always
"""

import json
import os
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_notebook_files import bring, read
from ansible.module_utils.lab_paths import acting_as, put


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "ledger": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    folder, ledger = Path(module.params["path"]), Path(module.params["ledger"])
    os.umask(0o077)
    try:
        asked = [module.params["python"], "-I", "-c", "import platform; print(platform.python_version())"]
        version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        wanted = read(Path(module.params["source"]), version)
        shipped = json.loads(ledger.read_text()) if ledger.exists() else {}
        if module.check_mode and not folder.exists():
            module.exit_json(changed=True, kept=[], brought=[])
        owner = folder.stat()
        with acting_as(owner.st_uid, owner.st_gid):
            changed, kept = bring(wanted, shipped, folder, module.check_mode)
        content = json.dumps(shipped, indent=1, sort_keys=True)
        put({"path": str(ledger), "content": content, "mode": "0644", "owner": "", "group": ""}, module.check_mode)
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"The notebooks cannot be brought: {error}. Make room, or look at that file's owner.")
    brought = [str(folder / name) for name in changed if name in wanted and name.endswith(".ipynb")]
    module.exit_json(changed=bool(changed), kept=kept, brought=brought, diff={"prepared": "\n".join(changed)})


if __name__ == "__main__":
    main()
