#!/usr/bin/python
"""Ansible module: bring folders of the project into the lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_tree
short_description: Copy folders, and keep what people changed in the copies
description:
  - Files that are new or differ are copied, those that left the source are removed from the copy.
  - With I(keep_changes) a file that somebody changed or removed since it was copied is left alone and reported.
options:
  sources:
    description:
      - Folders to copy, as paths on the controller; each keeps its name below I(path).
      - A source that ends in a slash gives its contents.
    type: list
    elements: path
    required: true
  path:
    description: Where the copies go; must exist.
    type: path
    required: true
  ledger:
    description: File that remembers what was copied.
    type: path
    required: true
  keep_changes:
    description: Whether people work in the copies.
    type: bool
    default: false
  owner:
    description: Account that the copies belong to; empty for the caller.
    type: str
    default: ''
  group:
    description: Group of the copies; empty for the caller's.
    type: str
    default: ''
  mode:
    description: Mode of the files; folders get the run bits beside it.
    type: str
    default: '0644'
author: GenAI Labs
"""

RETURN = r"""
kept:
  description: Files with changes of their own that a newer version of the project would have replaced.
  type: list
  returned: always
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_ownership import own
from ansible.module_utils.lab_versioned import ignored


def file_digest(path: Path) -> str | None:
    """Sha256 of a file, None if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def listing(sources: list[str]) -> dict[str, Path]:
    """Files to copy by their path in the copy."""
    files = {}
    for given in sources:
        source = Path(given)
        base = source if given.endswith("/") else source.parent
        for path in sorted(source.rglob("*")):
            if path.is_file() and not ignored(path.relative_to(base)):
                files[str(path.relative_to(base))] = path
    return files


class Tree:
    """The copy, what was last copied into it, and what should be there."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.params = module.params
        self.root = Path(self.params["path"])
        self.ledger = Path(self.params["ledger"])
        self.shipped: dict[str, str] = json.loads(self.ledger.read_text()) if self.ledger.exists() else {}
        self.wanted = listing(self.params["sources"])
        self.changed = False
        self.kept: list[str] = []

    def theirs(self, name: str, new: str | None) -> bool:
        """Whether somebody changed the copy of `name` since it was made."""
        if not self.params["keep_changes"]:
            return False
        present = file_digest(self.root / name)
        if name not in self.shipped:
            return present not in (None, new)
        return present != self.shipped[name] and present != new

    def put(self, name: str) -> None:
        """Copy one file unless it is there or has changes of its own."""
        new = file_digest(self.wanted[name])
        assert new is not None
        target = self.root / name
        if self.theirs(name, new):
            if self.shipped.get(name) != new:
                self.kept.append(name)
            return
        if file_digest(target) != new:
            self.changed = True
            if not self.module.check_mode:
                self.make_folders(target.parent)
                with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as copy:
                    copy.write(self.wanted[name].read_bytes())
                os.replace(copy.name, target)
        self.shipped[name] = new
        self.own(target, self.params["mode"])

    def remove(self, name: str) -> None:
        """Remove the copy of a file that left the project."""
        target = self.root / name
        if target.is_file() and not self.theirs(name, None):
            self.changed = True
            if not self.module.check_mode:
                target.unlink()
        self.shipped.pop(name)

    def make_folders(self, folder: Path) -> None:
        for path in reversed([folder, *folder.parents]):
            if self.root in path.parents and not path.exists():
                path.mkdir()
                mode = int(self.params["mode"], 8)
                self.own(path, f"{mode | (mode & 0o444) >> 2:04o}")

    def own(self, path: Path, mode: str) -> None:
        if path.exists():
            owned = own(self.module, str(path), mode, self.params["owner"], self.params["group"])
            self.changed = owned or self.changed

    def run(self) -> None:
        before = dict(self.shipped)
        try:
            for name in self.wanted:
                self.put(name)
            for name in sorted(set(self.shipped) - set(self.wanted)):
                self.remove(name)
        except OSError as error:
            self.module.fail_json(
                msg=f"{error.filename or self.root}: {error.strerror}. Make room, or look at the folder's owner."
            )
        if self.shipped != before and not self.module.check_mode:
            temporary = os.path.join(self.module.tmpdir, "ledger")
            Path(temporary).write_text(json.dumps(self.shipped, indent=1, sort_keys=True))
            self.module.atomic_move(temporary, str(self.ledger))
        self.module.exit_json(changed=self.changed, kept=self.kept)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "sources": {"type": "list", "elements": "str", "required": True},
            "path": {"type": "path", "required": True},
            "ledger": {"type": "path", "required": True},
            "keep_changes": {"type": "bool", "default": False},
            "owner": {"type": "str", "default": ""},
            "group": {"type": "str", "default": ""},
            "mode": {"type": "str", "default": "0644"},
        },
        supports_check_mode=True,
    )
    if not os.path.isdir(module.params["path"]):
        if module.check_mode:
            module.exit_json(changed=True, kept=[])
        module.fail_json(msg=f"{module.params['path']} is no folder.")
    Tree(module).run()


if __name__ == "__main__":
    main()
