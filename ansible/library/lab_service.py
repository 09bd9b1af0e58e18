#!/usr/bin/python
"""Ansible module: one service under the lab's supervisor."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_service
short_description: Describe a service to the lab's supervisor, start it, wait until it is healthy
description:
  - The service is restarted when its command, its environment or one of its files changed, and only then.
  - The digest of all that is part of what the supervisor knows, so the next run makes good an interrupted one.
options:
  home:
    description: The lab's folder.
    type: path
    required: true
  instance:
    description: Name of the supervisord that runs it.
    type: str
    default: hub
  name:
    description: Name of the service.
    type: str
    required: true
  state:
    description: What it shall be.
    type: str
    choices: [started, absent]
    default: started
  command:
    description: Program and arguments.
    type: list
    elements: str
  directory:
    description: Working directory; the lab's folder if empty.
    type: str
    default: ''
  environment:
    description: Environment without secrets.
    type: dict
    default: {}
  env_files:
    description: Files of NAME=value with the secret part of the environment.
    type: list
    elements: path
    default: []
  files:
    description: Other files whose change asks for a restart.
    type: list
    elements: path
    default: []
  after:
    description: What must be ready before the service starts, in the launcher's form.
    type: list
    elements: str
    default: []
  health:
    description: What is ready when the service is, in the launcher's form.
    type: str
    default: ''
  timeout:
    description: Seconds until the service must be healthy.
    type: int
    default: 120
  priority:
    description: Lower ones start earlier and stop later.
    type: int
    default: 500
  stop_signal:
    description: Signal that asks the service to end.
    type: str
    default: TERM
  stop_wait:
    description: Seconds between that signal and SIGKILL.
    type: int
    default: 30
  python:
    description: Interpreter for the launcher.
    type: path
    required: true
author: GenAI Labs
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_supervisor import connect
from ansible.module_utils.lab_versioned import digest_of

LOG_BYTES = "10MB"
LOG_BACKUPS = 5
LOG_TAIL_BYTES = 2000


def quoted(value: str) -> str:
    """A value for supervisor's environment and command lines, where % starts an expansion."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def program(params: dict) -> str:
    """The service's section for supervisord, see http://supervisord.org/configuration.html."""
    home, name = params["home"], params["name"]
    launcher = f"{home}/supervisor/launcher.py"
    files = [path for path in (*params["env_files"], *params["files"], launcher) if os.path.exists(path)]
    command = [params["python"], "-I", launcher, "run", "--home", home, "--name", f"{params['instance']}/{name}"]
    for option, values in (("--env-file", params["env_files"]), ("--after", params["after"])):
        command += [word for value in values for word in (option, value)]
    command += ["--", *params["command"]]
    environment = {
        **params["environment"],
        "LAB_SERVICE": f"{home}:{params['instance']}/{name}",
        "LAB_DIGEST": digest_of(*(Path(path).read_bytes() for path in files)),
    }
    settings = {
        "command": " ".join(quoted(word) for word in command),
        "directory": params["directory"] or home,
        "environment": ",".join(f"{key}={quoted(str(value))}" for key, value in sorted(environment.items())),
        "priority": params["priority"],
        "autorestart": "true",
        "startretries": 1000,
        "stopsignal": params["stop_signal"],
        "stopwaitsecs": params["stop_wait"],
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": log_file(params),
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": LOG_BACKUPS,
    }
    return f"; written by Ansible\n[program:{name}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())


def log_file(params: dict) -> str:
    """The service's log."""
    return f"{params['home']}/logs/{params['instance']}/{params['name']}.log"


class Service:
    """A service as it is described on disk and as supervisord runs it."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.params = module.params
        self.name = self.params["name"]
        self.file = f"{self.params['home']}/supervisor/{self.params['instance']}.d/{self.name}.conf"

    def describe(self) -> bool:
        """Write the description; return whether it changed."""
        text = program(self.params)
        if os.path.exists(self.file) and Path(self.file).read_text() == text:
            return False
        if not self.module.check_mode:
            temporary = os.path.join(self.module.tmpdir, "program.conf")
            Path(temporary).write_text(text)
            self.module.atomic_move(temporary, self.file)
            os.chmod(self.file, 0o644)
        return True

    def supervisor(self):
        """Supervisord's functions; it must run."""
        found = connect(self.params["home"], self.params["instance"])
        if found is None:
            self.module.fail_json(
                msg=f"The supervisor '{self.params['instance']}' of {self.params['home']} is down. Start it: make up"
            )
        return found

    def apply(self) -> bool:
        """Let supervisord know and run it; return whether the service was started or restarted."""
        supervisor = self.supervisor()
        [[added, changed, _removed]] = supervisor.reloadConfig()
        if self.name in changed:
            supervisor.stopProcessGroup(self.name)
            supervisor.removeProcessGroup(self.name)
        if self.name in added or self.name in changed:
            supervisor.addProcessGroup(self.name)
            return True
        if supervisor.getProcessInfo(self.name)["statename"] not in ("RUNNING", "STARTING", "BACKOFF"):
            supervisor.startProcess(self.name)
            return True
        return False

    def remove(self) -> bool:
        """Stop the service and forget it; return whether there was one."""
        if not os.path.exists(self.file):
            return False
        if not self.module.check_mode:
            os.unlink(self.file)
            supervisor = connect(self.params["home"], self.params["instance"])
            if supervisor is not None and self.name in supervisor.reloadConfig()[0][2]:
                supervisor.stopProcessGroup(self.name)
                supervisor.removeProcessGroup(self.name)
        return True

    def wait(self) -> None:
        """Wait until the service is healthy; a service that does not get there fails with the end of its log."""
        if not self.params["health"]:
            return
        launcher = f"{self.params['home']}/supervisor/launcher.py"
        command = [
            self.params["python"],
            "-I",
            launcher,
            "wait",
            "--timeout",
            str(self.params["timeout"]),
            self.params["health"],
        ]
        code, _, err = self.module.run_command(command)
        if code != 0:
            log = Path(log_file(self.params))
            tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else "(no log)"
            self.module.fail_json(msg=f"The service '{self.name}' is {err.strip()}. The end of {log}:\n{tail}")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "instance": {"type": "str", "default": "hub"},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "absent"], "default": "started"},
            "command": {"type": "list", "elements": "str"},
            "directory": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}},
            "env_files": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "after": {"type": "list", "elements": "str", "default": []},
            "health": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 120},
            "priority": {"type": "int", "default": 500},
            "stop_signal": {"type": "str", "default": "TERM"},
            "stop_wait": {"type": "int", "default": 30},
            "python": {"type": "path", "required": True},
        },
        required_if=[("state", "started", ("command",))],
        supports_check_mode=True,
    )
    service = Service(module)
    if module.params["state"] == "absent":
        module.exit_json(changed=service.remove())
    changed = service.describe()
    if module.check_mode:
        module.exit_json(changed=changed)
    changed = service.apply() or changed
    service.wait()
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
