"""Action plugin: lets modules that read files of the checkout run on other hosts than the controller.

The modules linked to this plugin name files and folders of the controller. On this machine they read them where they
are; on another host they get copies in the task's temporary folder, which Ansible removes, so that check mode
works there too and nothing of the checkout stays behind.
"""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

OPTIONS = ("requirements", "source", "sources")
LEFT_OUT = {"__pycache__", "node_modules", ".ipynb_checkpoints"}


class ActionModule(ActionBase):
    """Runs the module of the same name, on copies of what it reads where it needs them."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the files if the host is another one, and run the module."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if self._connection.transport != "local":
            for option in OPTIONS:
                if option in arguments:
                    given = arguments[option]
                    arguments[option] = list(map(self._bring, given)) if isinstance(given, list) else self._bring(given)
        return dict(self._execute_module(module_args=arguments, task_vars=task_vars))

    def _bring(self, given: str) -> str:
        """Copy a file or folder; give the copy's path, with the slash that the original's has."""
        path = Path(given)
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        place = self._connection._shell.join_path(self._connection._shell.tmpdir, f"checkout-{os.urandom(4).hex()}")
        with tempfile.NamedTemporaryFile() as archive:
            archive.write(pack(path))
            archive.flush()
            self._transfer_file(archive.name, f"{place}.tar.gz")
        unpack = f"mkdir {shlex.quote(place)} && tar -xzf {shlex.quote(place)}.tar.gz -C {shlex.quote(place)}"
        answer = self._low_level_execute_command(unpack)
        if answer["rc"] != 0:
            raise AnsibleActionFail(f"{given} could not be brought to the host: {answer['stderr'] or answer['stdout']}")
        return f"{place}/{path.name}{'/' if given.endswith('/') else ''}"


def pack(path: Path) -> bytes:
    """A file or folder as a tar archive under its own name, without what running it leaves."""

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(Path(member.name).parts) else member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        archive.add(path, arcname=path.name, filter=kept)
    return buffer.getvalue()
