#!/usr/bin/python
"""Ansible module: the lab's folders and small files in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_files
short_description: Make folders and files with owner and mode
description:
  - The same as loops over M(ansible.builtin.file) and M(ansible.builtin.template), in a fraction of their time.
  - Possible in check mode where neither folders nor accounts exist yet.
  - Root follows no link that another account laid. A file is replaced whole or not at all.
  - Differences are shown, but not of a file that only its owner may read; nor are contents logged.
options:
  folders:
    description:
      - Folders in the order of their making, each with C(path), C(mode), C(owner) and C(group), empty for what it is.
      - With C(adopt), what the former owner has in a folder that gets another one goes to that one too.
    type: list
    elements: dict
    default: []
  files:
    description: Files with C(path), C(content), C(mode), C(owner) and C(group), after the folders.
    type: list
    elements: dict
    default: []
author: GenAI Labs
"""

RETURN = r"""
digest: {description: Stands for all files with their contents., type: str, returned: always}
"""

import hashlib
import json
import os
import pwd

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_paths import entered, put, settle


def make_folder(entry: dict, dry: bool) -> tuple[str, str]:
    """Make a folder, or bring it to its owner, group and mode; give these before (empty: no folder) and after."""
    is_new = not os.path.isdir(entry["path"])
    if dry and is_new:
        return "", entry["mode"]
    with entered(entry["path"], make=not dry) as here:
        folder = os.open(".", os.O_RDONLY, dir_fd=here)
        try:
            if entry["adopt"] and entry["owner"] and not dry:
                adopt(folder, entry["owner"])
            before, after = settle(folder, entry, dry)
        finally:
            os.close(folder)
    return "" if is_new else before, after


def adopt(folder: int, owner: str) -> None:
    """Give its contents to a folder's new owner, before the folder itself, so that a run cut short goes on."""
    former, account = os.fstat(folder).st_uid, pwd.getpwnam(owner)
    for _, folders, files, here in os.fwalk(dir_fd=folder) if former != account.pw_uid else ():
        for name in (*folders, *files):
            if os.stat(name, dir_fd=here, follow_symlinks=False).st_uid == former:
                os.chown(name, account.pw_uid, account.pw_gid, dir_fd=here, follow_symlinks=False)


def main() -> None:
    """Run the module."""
    shared = {"path": {"type": "path", "required": True}, "owner": {"default": ""}, "group": {"default": ""}}
    folder = shared | {"mode": {"required": True}, "adopt": {"type": "bool", "default": False}}
    file = shared | {"mode": {"default": "0644"}, "content": {"required": True}}
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "dict", "default": [], "options": folder},
            # Kept out of the system's log.
            "files": {"type": "list", "elements": "dict", "default": [], "options": file, "no_log": True},
        },
        supports_check_mode=True,
    )
    module.no_log_values.clear()  # else every path would be hidden; contents are in no result
    files, diffs = module.params.pop("files"), []
    for entry in (*module.params["folders"], *files):
        try:
            before, after = (put if "content" in entry else make_folder)(entry, module.check_mode)
        except (OSError, LookupError) as error:
            module.fail_json(msg=f"{entry['path']} cannot be made: {error}. Mend that, or choose another lab_home.")
        if before != after:
            secret = "content" in entry and not int(entry["mode"], 8) & 0o077
            path, shown = entry["path"], {"before": before or "", "after": after}
            if secret:
                shown = {"prepared": f"{path}: not shown\n"}
            diffs.append(shown | {"before_header": path, "after_header": path})
    digest = hashlib.sha256(json.dumps([(file["path"], file["content"]) for file in files]).encode()).hexdigest()
    module.exit_json(changed=bool(diffs), diff=diffs, digest=digest)


if __name__ == "__main__":
    main()
