#!/usr/bin/python
"""Ansible module: one service of the lab, under its supervisor or as a systemd unit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_service
short_description: Describe a service to the service manager, start it, wait until it is healthy
description:
  - The service is restarted when its command, its environment or one of its files changed, and only then.
  - The digest of all that is part of what the manager knows, so the next run makes good an interrupted one.
  - What the other manager holds of the same service is removed first.
options:
  home:
    description: The lab's folder.
    type: path
    required: true
  manager:
    description: What runs it. With C(systemd) it is a unit of its own, hardened and enabled.
    type: str
    choices: [supervisor, systemd]
    default: supervisor
  instance:
    description: Name of the supervisord that runs it.
    type: str
    default: hub
  name:
    description: Name of the service. To be absent also a pattern, as C(runtime-*).
    type: str
    required: true
  keep:
    description: Services that the pattern shall spare.
    type: list
    elements: str
    default: []
  state:
    description: What it shall be.
    type: str
    choices: [started, absent]
    default: started
  user:
    description: Account of a systemd unit; a supervisord's services have its own.
    type: str
    default: ''
  group:
    description: Group of a systemd unit.
    type: str
    default: ''
  writes:
    description: Folders that a systemd unit may write to; all others are read-only for it.
    type: list
    elements: path
    default: []
  settings:
    description: Further settings of a systemd unit's section Service, over the module's own; a list repeats the name.
    type: dict
    default: {}
  vendor_unit:
    description:
      - Name of the unit that the program's vendor ships, without C(.service); the description becomes its drop-in.
      - The program is then started directly, so it can have neither I(env_files) nor I(after).
    type: str
    choices: ['', ollama]
    default: ''
  rollback:
    description: Whether an unhealthy new description is taken back, so that the one before it serves again.
    type: bool
    default: false
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
    description: What of the same account must be ready before the service starts, in the same form as I(health).
    type: list
    elements: str
    default: []
  health:
    description:
      - What is ready when the service is, in the form of module_utils/lab_peer.py.
      - It counts only where the service's own account answers.
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

RETURN = r"""
previous:
  description: With C(rollback), the description that serves again after a failure; empty where there was none.
  type: str
  returned: failure of the health check
"""

import os
import pwd
from fnmatch import fnmatch
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_host import account_of
from ansible.module_utils.lab_peer import wait_for
from ansible.module_utils.lab_supervisor import connect
from ansible.module_utils.lab_systemd import LAUNCHER, VENDOR_UNITS, Systemd, UnitService, marked_files
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
    launcher = [f"{home}/{name}" for name in LAUNCHER]
    files = [path for path in (*params["env_files"], *params["files"], *launcher) if os.path.exists(path)]
    command = [params["python"], "-I", launcher[0], "run", "--home", home, "--name", f"{params['instance']}/{name}"]
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


class SupervisedService:
    """A service as it is described on disk and as supervisord runs it."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.params = module.params
        self.name = self.params["name"]
        self.file = Path(f"{self.params['home']}/supervisor/{self.params['instance']}.d/{self.name}.conf")
        self.words = log_file(self.params)

    def present(self) -> dict[Path, str]:
        """The description that is there now."""
        return {self.file: self.file.read_text()} if self.file.exists() else {}

    def describe(self) -> bool:
        """Write the description; return whether it changed."""
        text = program(self.params)
        if self.present() == {self.file: text}:
            return False
        if not self.module.check_mode:
            self.write(text)
        return True

    def write(self, text: str) -> None:
        """Put the description in its place."""
        temporary = os.path.join(self.module.tmpdir, "program.conf")
        Path(temporary).write_text(text)
        self.module.atomic_move(temporary, str(self.file))
        os.chmod(self.file, 0o644)

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

    def restore(self, files: dict[Path, str]) -> None:
        """Bring back an earlier description and run it."""
        self.write(files[self.file])
        self.apply()

    def remove(self) -> bool:
        """Stop the service and forget it; return whether there was one."""
        if not self.file.exists():
            return False
        if not self.module.check_mode:
            self.file.unlink()
            supervisor = connect(self.params["home"], self.params["instance"])
            if supervisor is not None and self.name in supervisor.reloadConfig()[0][2]:
                supervisor.stopProcessGroup(self.name)
                supervisor.removeProcessGroup(self.name)
        return True

    def retire(self) -> bool:
        """Remove the service because systemd takes it over; a supervisord without any service ends."""
        removed = self.remove()
        if removed and not self.module.check_mode and not any(self.file.parent.glob("*.conf")):
            supervisor = connect(self.params["home"], self.params["instance"])
            if supervisor is not None:
                supervisor.shutdown()
        return removed

    def log_tail(self) -> str:
        """The end of the service's log."""
        log = Path(log_file(self.params))
        return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else "(no log)"


def unhealthy(module: AnsibleModule) -> str | None:
    """Wait until the service itself is healthy; return why not if it does not get there."""
    params = module.params
    if not params["health"]:
        return None
    is_unit = params["manager"] == "systemd"
    uid = pwd.getpwnam(params["user"]).pw_uid if is_unit else account_of(params["home"], params["instance"])
    missing = wait_for([params["health"]], {uid}, params["timeout"])
    reasons = "; ".join(f"{target}: {why}" for target, why in missing.items())
    return f"not ready after {params['timeout']} s: {reasons}" if missing else None


def start(module: AnsibleModule) -> bool:
    """Describe the service, run it and wait for its health; return whether anything changed.

    A service that does not get there fails the module with the end of its log, after the earlier description was
    taken up again where that is asked for.
    """
    supervised, unit = SupervisedService(module), UnitService(module)
    if module.params["manager"] == "systemd":
        service, moved = unit, supervised.retire()
    else:
        service, moved = supervised, unit.remove()
    before = service.present()
    described = service.describe()
    if module.check_mode:
        return described or moved
    changed = service.apply() or described or moved
    problem = unhealthy(module)
    if problem is None:
        return changed
    name, tail = module.params["name"], service.log_tail()
    message = f"The service '{name}' is {problem}. The end of {service.words}:\n{tail}"
    if not (module.params["rollback"] and described and service.file in before):
        module.fail_json(msg=message, previous="")
    service.restore(before)
    again = unhealthy(module)
    outcome = "serves again" if again is None else f"was brought back, but is {again}"
    module.fail_json(msg=f"{message}\nThe description before it {outcome}.", previous=before[service.file])
    return False


def remove(module: AnsibleModule) -> bool:
    """Remove the services of the name or pattern from both managers; return whether there were any."""
    home, instance, pattern = (module.params[name] for name in ("home", "instance", "name"))

    def unwanted(name: str) -> bool:
        return fnmatch(name, pattern) and name not in module.params["keep"]

    changed = False
    for path in sorted(Path(f"{home}/supervisor/{instance}.d").glob("*.conf")):
        if unwanted(path.stem):
            module.params["name"] = path.stem
            changed = SupervisedService(module).remove() or changed
    for service, files in marked_files(home).items():
        if service.startswith(f"{instance}/") and unwanted(service.partition("/")[2]):
            changed = Systemd(module).remove(files) or changed
    return changed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "manager": {"type": "str", "choices": ["supervisor", "systemd"], "default": "supervisor"},
            "instance": {"type": "str", "default": "hub"},
            "name": {"type": "str", "required": True},
            "keep": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["started", "absent"], "default": "started"},
            "user": {"type": "str", "default": ""},
            "group": {"type": "str", "default": ""},
            "command": {"type": "list", "elements": "str"},
            "directory": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}},
            "env_files": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "writes": {"type": "list", "elements": "path", "default": []},
            "settings": {"type": "dict", "default": {}},
            "vendor_unit": {"type": "str", "choices": ["", *VENDOR_UNITS], "default": ""},
            "rollback": {"type": "bool", "default": False},
            "after": {"type": "list", "elements": "str", "default": []},
            "health": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 120},
            "priority": {"type": "int", "default": 500},
            "stop_signal": {"type": "str", "default": "TERM"},
            "stop_wait": {"type": "int", "default": 30},
            "python": {"type": "path", "required": True},
        },
        required_if=[("state", "started", ("command",)), ("manager", "systemd", ("user", "group"))],
        supports_check_mode=True,
    )
    act = remove if module.params["state"] == "absent" else start
    module.exit_json(changed=act(module))


if __name__ == "__main__":
    main()
