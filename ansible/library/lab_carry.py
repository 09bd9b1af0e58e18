#!/usr/bin/python
"""Ansible module: carry the embedded profile's database over into the hub's container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_carry
short_description: Dump the embedded database, restore it in the container, compare
description:
  - Done once, when a lab changes from the profile C(embedded) to C(containers). All rows are counted on both sides.
  - The old cluster is kept beside its former place, and is untouched when anything fails.
options:
  data:
    description: The old cluster. Nothing is done when there is none.
    type: path
    required: true
  config:
    description: Its configuration file.
    type: path
    required: true
  programs:
    description: Folder with PostgreSQL's programs of the old cluster; may be a pattern.
    type: str
    required: true
  socket:
    description: Folder for the old server's socket while it is read.
    type: path
    required: true
  database:
    description: Name of the database, the same on both sides.
    type: str
    required: true
  as_account:
    description: Words before a command that make it run as the old cluster's owner.
    type: list
    elements: str
    default: []
  container:
    description: Words before a command that make it run in the new database's container, with its standard input.
    type: list
    elements: str
    required: true
  roles:
    description: The command, in the container, that makes the roles and what guards them.
    type: list
    elements: str
    required: true
author: GenAI Labs
"""

RETURN = r"""
rows:
  description: Rows that were carried over.
  type: int
  returned: changed
"""

import glob
import os
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

SCHEMAS = "NOT IN ('pg_catalog', 'information_schema')"
COUNT = (
    "SELECT format('SELECT %L, count(*) FROM %I.%I', schemaname || '.' || tablename, schemaname, tablename)"
    f" FROM pg_tables WHERE schemaname {SCHEMAS} ORDER BY 1 \\gexec\n"
)
# The dump brings the guard that roles.sql has made already, or none if an older lab is carried over.
UNGUARD = "DROP EVENT TRIGGER IF EXISTS lab_reader_changes_nothing"
PSQL = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align", "--username=postgres"]


class CarryError(Exception):
    """The database could not be carried over; the text says why."""


def run(command: list[str], **options) -> str:
    """A command's output.

    Raises:
        CarryError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise CarryError(f"{' '.join(command[-6:])}: {done.stderr.strip()[-1500:]}")
    return done.stdout


class OldServer:
    """The old cluster's server, on a socket alone, as long as the block lasts."""

    def __init__(self, params: dict):
        found = sorted(glob.glob(params["programs"]))
        if not found:
            raise CarryError(f"no PostgreSQL in {params['programs']}")
        self.programs, self.params = found[-1], params

    def command(self, program: str, *arguments: str) -> list[str]:
        return [*self.params["as_account"], f"{self.programs}/{program}", *arguments]

    def __enter__(self) -> OldServer:
        settings = f"-c config_file='{self.params['config']}' -c listen_addresses='' -c port=5432"
        settings += f" -c unix_socket_directories='{self.params['socket']}'"
        start = ["--pgdata", self.params["data"], "--wait", "--options", settings, "--log", "/dev/null", "start"]
        run(self.command("pg_ctl", *start), stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_exception) -> None:
        run(self.command("pg_ctl", "--pgdata", self.params["data"], "--wait", "--mode", "fast", "stop"))

    def counts(self) -> str:
        words = [*PSQL[1:], "--host", self.params["socket"], "--dbname", self.params["database"]]
        return run(self.command(PSQL[0], *words), input=COUNT)


def new_counts(params: dict) -> str:
    """Rows of each table in the container."""
    return run([*params["container"], *PSQL, "--dbname", params["database"]], input=COUNT)


def carry(params: dict) -> int:
    """Dump, restore, compare; return the number of rows.

    Raises:
        CarryError: something failed, or rows are missing.
    """
    if new_counts(params).strip():
        raise CarryError("the container's database has tables already")
    with OldServer(params) as old:
        before = old.counts()
        run([*params["container"], *PSQL, "--dbname", params["database"], "--command", UNGUARD])
        words = ["--host", params["socket"], "--username", "postgres", "--format", "custom", params["database"]]
        dump = subprocess.Popen(old.command("pg_dump", *words), stdout=subprocess.PIPE)
        words = ["--username=postgres", "--single-transaction", "--exit-on-error", "--dbname", params["database"]]
        restore = subprocess.run(
            [*params["container"], "pg_restore", *words], stdin=dump.stdout, capture_output=True, text=True, check=False
        )
        if dump.wait() != 0 or restore.returncode != 0:
            raise CarryError(f"dump or restore failed: {restore.stderr.strip()[-1500:]}")
    run([*params["container"], *params["roles"]])
    after = new_counts(params)
    if before != after:
        lost = sorted(set(before.split()) - set(after.split()))
        raise CarryError(f"rows differ: {', '.join(lost)} before")
    return sum(int(line.rsplit("|", 1)[1]) for line in after.splitlines() if "|" in line)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "data": {"type": "path", "required": True},
            "config": {"type": "path", "required": True},
            "programs": {"type": "str", "required": True},
            "socket": {"type": "path", "required": True},
            "database": {"type": "str", "required": True},
            "as_account": {"type": "list", "elements": "str", "default": []},
            "container": {"type": "list", "elements": "str", "required": True},
            "roles": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    data = Path(module.params["data"])
    if not (data / "PG_VERSION").exists():
        module.exit_json(changed=False)
    if module.check_mode:
        module.exit_json(changed=True, rows=0)
    try:
        rows = carry(module.params)
    except CarryError as error:
        module.fail_json(
            msg=f"The embedded profile's database in {data} could not be carried over and is untouched: {error}\n"
            "Run again, or go back: make down, then make up with -e lab_profile=embedded."
        )
    os.rename(data, f"{data}.carried")
    module.exit_json(changed=True, rows=rows)


if __name__ == "__main__":
    main()
