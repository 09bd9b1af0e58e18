#!/usr/bin/python
"""Ansible module: one supervisord of the lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_supervisor
short_description: Start or stop a supervisord with its services
description:
  - Started with a clean environment and, by root, as the given account.
  - Stopping ends the services in the reverse order of their start, then whatever of them is still there.
  - What is ended is found by its account and its command line or mark, never by what a socket or a file says.
options:
  home:
    description: The lab's folder.
    type: path
    required: true
  instance:
    description: Name of the supervisord.
    type: str
    required: true
  state:
    description: What it shall be.
    type: str
    choices: [started, stopped]
    default: started
  supervisord:
    description: The executable; needed to start.
    type: path
  prefix:
    description: Command that changes to the account, empty if none is needed.
    type: list
    elements: str
    default: []
  environment:
    description: Environment of the services beside PATH and LANG.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for the start or the end.
    type: int
    default: 60
author: GenAI Labs
"""

import contextlib
import os

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_host import account_of, wait_until
from ansible.module_utils.lab_supervisor import connect, end, processes_of, socket_of, supervisors_of

LEFTOVER_GRACE_S = 10
PATH = "/usr/local/bin:/usr/bin:/bin"


def start(module: AnsibleModule) -> bool:
    """Start supervisord unless it runs; return whether it was started."""
    params = module.params
    home, instance = params["home"], params["instance"]
    if connect(home, instance):
        return False
    if module.check_mode:
        return True
    # One that nobody reaches any more would fight with the new one for its services.
    end(supervisors_of(home, instance), params["timeout"], account_of(home, instance))
    with contextlib.suppress(OSError):  # where it cannot be, supervisord says why it does not start
        os.unlink(socket_of(home, instance))
    settings = {"PATH": PATH, "LANG": "C.UTF-8", **params["environment"]}
    clean = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in settings.items())]
    command = [*clean, *params["prefix"], params["supervisord"], "-c", f"{home}/supervisor/{instance}.conf"]
    code, out, err = module.run_command(command, cwd="/")
    if code != 0 or not wait_until(lambda: connect(home, instance) is not None, params["timeout"]):
        module.fail_json(msg=f"The supervisor '{instance}' did not start; see {home}/logs.\n{err or out}", cmd=command)
    return True


def stop(module: AnsibleModule) -> list[int]:
    """Stop supervisord and its services; return the processes that ran, of the latter only those that it left."""
    home, instance, timeout = (module.params[name] for name in ("home", "instance", "timeout"))
    account = account_of(home, instance)
    supervisors = supervisors_of(home, instance)
    if module.check_mode:
        return supervisors or processes_of(home, instance)
    end(supervisors, timeout, account)
    left = processes_of(home, instance)
    end(left, LEFTOVER_GRACE_S, account)
    return supervisors + left


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "instance": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "supervisord": {"type": "path"},
            "prefix": {"type": "list", "elements": "str", "default": []},
            "environment": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "started", ("supervisord",))],
        supports_check_mode=True,
    )
    if module.params["state"] == "started":
        module.exit_json(changed=start(module))
    module.exit_json(changed=bool(stop(module)))


if __name__ == "__main__":
    main()
