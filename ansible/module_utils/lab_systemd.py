"""A lab's services as systemd units: their names, their text, and systemctl."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ansible.module_utils.lab_versioned import digest_of

DEFAULT_HOME = "/opt/genailabs"
UNITS = "/etc/systemd/system"  # the administrator's place, which wins over the packages' (systemd.unit(5))
PACKAGED_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system")
MARK = "# GenAI Labs, "
LAUNCHER = ("supervisor/launcher.py", "supervisor/lab_peer.py")  # what every service starts through
TAIL_LINES = 30

# https://docs.ollama.com/linux: the unit that its documentation asks an administrator to write.
OLLAMA_UNIT = """\
[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3
Environment="PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

[Install]
WantedBy=multi-user.target
"""
VENDOR_UNITS = {"ollama": OLLAMA_UNIT}

HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "read-only",
    "PrivateTmp": "yes",
    "ProtectProc": "invisible",
    "ProtectHostname": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictRealtime": "yes",
    "SystemCallArchitectures": "native",
    "LockPersonality": "yes",
    "CapabilityBoundingSet": "",
    "UMask": "0027",
}


def unit_name(home: str, name: str, prefix: str = "genailabs") -> str:
    """The name of a service's unit, without `.service`.

    Args:
        home: The lab's folder. The default one's units bear no trace of it; any other's bear the same eight digits
            as its containers (lab_name).
        name: The service; empty where the prefix says it all.
        prefix: What the name begins with.
    """
    lab = "" if home == DEFAULT_HOME else hashlib.sha256(home.encode()).hexdigest()[:8]
    return "-".join(part for part in (prefix, lab, name) if part)


def quoted(value: str, command: bool = False) -> str:
    """A value for a unit file, where % starts a specifier and, on command lines, $ a variable (systemd.syntax(7))."""
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return '"' + (text.replace("$", "$$") if command else text) + '"'


def mark(home: str, service: str) -> str:
    """The first line of every file that the lab writes for systemd: which lab and service it belongs to."""
    return f"{MARK}{home}: {service}"


def marked_files(home: str) -> dict[str, list[Path]]:
    """The files that a lab wrote for systemd, by the name of the service (with its instance)."""
    found: dict[str, list[Path]] = {}
    for path in sorted([*Path(UNITS).glob("*.service"), *Path(UNITS).glob("*.service.d/override.conf")]):
        service = service_of(path, home)
        if service:
            found.setdefault(service, []).append(path)
    return found


def service_of(path: Path, home: str) -> str | None:
    """The service that `path` describes for the lab in `home`, None where it is no file of that lab."""
    if path.is_symlink() or not path.is_file():
        return None
    line = path.read_text(errors="replace").partition("\n")[0]
    start = mark(home, "")
    return line.removeprefix(start) if line.startswith(start) else None


def unit_of(path: Path) -> str:
    """The unit that a unit file or drop-in belongs to."""
    return path.name if path.suffix == ".service" else path.parent.name.removesuffix(".d")


class Systemd:
    """What the modules ask of systemctl."""

    def __init__(self, module):
        self.module = module

    def call(self, *words: str) -> str:
        """Run systemctl; a failure ends the module with its words."""
        code, out, err = self.module.run_command(["systemctl", *words])
        if code != 0:
            self.module.fail_json(msg=f"systemctl {' '.join(words)}: {(err or out).strip()}")
        return out

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit; empty values where there is no such unit."""
        _, out, _ = self.module.run_command(["systemctl", "show", f"--property={','.join(names)}", unit])
        return {**dict.fromkeys(names, ""), **dict(line.split("=", 1) for line in out.splitlines() if "=" in line)}

    def stop(self, units: list[str]) -> bool:
        """Stop units and keep them from the next boot; return whether that was a change."""
        running = [unit for unit in units if self.properties(unit, "ActiveState")["ActiveState"] != "inactive"]
        enabled = [unit for unit in units if self.properties(unit, "UnitFileState")["UnitFileState"] == "enabled"]
        if not self.module.check_mode:
            if running:
                self.call("stop", *running)
                # What failed at its end is "failed" until somebody says that it was seen.
                self.module.run_command(["systemctl", "reset-failed", *running])
            if enabled:
                self.call("disable", "--quiet", *enabled)
        return bool(running or enabled)

    def remove(self, files: Iterable[Path]) -> bool:
        """Stop the units that the files describe and remove the files; return whether there were any."""
        files = list(files)
        if not files:
            return False
        self.stop(sorted({unit_of(path) for path in files}))
        if not self.module.check_mode:
            for path in files:
                path.unlink()
                if path.suffix == ".conf" and not any(path.parent.iterdir()):
                    path.parent.rmdir()
            self.call("daemon-reload")
        return True


class UnitService:
    """A service as its unit describes it and as systemd runs it.

    With `vendor_unit` the description is a drop-in of that unit: a unit which a package or an installer left is not
    touched, and one is written as the vendor's documentation has it where there is none.
    """

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.systemd = Systemd(module)
        self.home = self.params["home"]
        self.service = f"{self.params['instance']}/{self.params['name']}"
        vendor = self.params["vendor_unit"]
        name = unit_name(self.home, "", vendor) if vendor else unit_name(self.home, self.params["name"])
        self.unit = f"{name}.service"
        self.base = Path(UNITS) / self.unit
        self.file = Path(UNITS) / f"{self.unit}.d" / "override.conf" if vendor else self.base

    @property
    def words(self) -> str:
        """Where to read more, for messages."""
        return f"journalctl -u {self.unit}"

    def command(self) -> list[str]:
        """What systemd runs: the launcher, which waits for what the service needs, or the vendor's program itself."""
        params = self.params
        if params["vendor_unit"]:
            return list(params["command"])
        launcher = [params["python"], "-I", f"{self.home}/{LAUNCHER[0]}", "run"]
        launcher += ["--home", self.home, "--name", self.service]
        for option, values in (("--env-file", params["env_files"]), ("--after", params["after"])):
            launcher += [word for value in values for word in (option, value)]
        return [*launcher, "--", *params["command"]]

    def text(self) -> str:
        """The unit file or drop-in; its digest stands for the text and for the files that the service reads."""
        params = self.params
        files = [*params["env_files"], *params["files"], *(f"{self.home}/{name}" for name in LAUNCHER)]
        contents = [Path(path).read_bytes() for path in files if os.path.exists(path)]
        service = {
            "Type": "exec",
            "User": params["user"],
            "Group": params["group"],
            "WorkingDirectory": (params["directory"] or self.home).replace("%", "%%"),
            "Restart": "always",
            "RestartSec": "1",
            "KillMode": "control-group",
            "KillSignal": f"SIG{params['stop_signal']}",
            "TimeoutStopSec": str(params["stop_wait"]),
            **HARDENING,
            **{key: str(value) for key, value in params["settings"].items() if not isinstance(value, list)},
        }
        lines = [f"{key}={value}" for key, value in service.items()]
        for key, items in params["settings"].items():
            lines += [f"{key}={item}" for item in items] if isinstance(items, list) else []
        lines += [f"ReadWritePaths={quoted(path)}" for path in params["writes"]]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **params["environment"]}
        environment["LAB_SERVICE"] = f"{self.home}:{self.service}"
        lines += [f"Environment={quoted(f'{key}={value}')}" for key, value in sorted(environment.items())]
        start = f"ExecStart={' '.join(quoted(word, command=True) for word in self.command())}"
        lines += ["ExecStart=", start] if params["vendor_unit"] else [start]
        digest = digest_of("\n".join(lines), *contents)
        lines.append(f"Environment={quoted(f'LAB_DIGEST={digest}')}")
        unit = ["StartLimitIntervalSec=0"]
        install = []
        if not params["vendor_unit"]:
            unit = [f"Description=GenAI Labs {params['name']} ({self.home})", "After=network-online.target", *unit]
            install = ["", "[Install]", "WantedBy=multi-user.target"]
        head = [mark(self.home, self.service), "# Written by Ansible; changes are lost at the next run.", "[Unit]"]
        return "\n".join([*head, *unit, "", "[Service]", *lines, *install]) + "\n"

    def wanted(self) -> dict[Path, str]:
        """The files that describe the service, with their text."""
        files = {self.file: self.text()}
        vendor = self.params["vendor_unit"]
        theirs = [Path(folder) / self.unit for folder in PACKAGED_UNITS]
        if vendor and not any(path.exists() for path in theirs) and not self.is_theirs(self.base):
            files[self.base] = f"{mark(self.home, self.service)}\n{VENDOR_UNITS[vendor]}"
        return files

    def is_theirs(self, path: Path) -> bool:
        """Whether a file is there that the lab did not write (a link is another's: a mask, or an alias)."""
        return os.path.lexists(path) and service_of(path, self.home) is None

    def present(self) -> dict[Path, str]:
        """The text of the lab's files that are there now."""
        return {path: path.read_text() for path in (self.base, self.file) if service_of(path, self.home)}

    def describe(self) -> bool:
        """Write the description; return whether it changed."""
        wanted = self.wanted()
        for path in wanted:
            if self.is_theirs(path):
                self.module.fail_json(
                    msg=f"{path} is not the lab's, so it was left as it is. Give it another name, "
                    "or move its settings to the lab's variables and remove it."
                )
        changed = wanted != {path: text for path, text in self.present().items() if path in wanted}
        if changed and not self.module.check_mode:
            self.write(wanted)
        return changed

    def write(self, files: dict[Path, str]) -> None:
        """Put the files in their places and let systemd read them."""
        for path, text in files.items():
            path.parent.mkdir(exist_ok=True)
            temporary = os.path.join(self.module.tmpdir, "unit")
            Path(temporary).write_text(text)
            self.module.atomic_move(temporary, str(path))
            os.chmod(path, 0o644)
        self.systemd.call("daemon-reload")

    def running_digest(self) -> str | None:
        """The digest that the running process was started with, None where none runs."""
        process = self.systemd.properties(self.unit, "MainPID")["MainPID"]
        try:
            environment = Path(f"/proc/{process or 0}/environ").read_bytes().split(b"\0")
        except OSError:
            return None
        return next((entry[11:].decode() for entry in environment if entry.startswith(b"LAB_DIGEST=")), None)

    def apply(self) -> bool:
        """Enable and run what is described; return whether that was a change."""
        state = self.systemd.properties(self.unit, "UnitFileState", "NeedDaemonReload")
        changed = False
        if state["NeedDaemonReload"] == "yes":
            self.systemd.call("daemon-reload")
        if state["UnitFileState"] in ("disabled", "enabled-runtime", "masked"):  # a vendor's may have nothing to enable
            self.systemd.call("enable", "--quiet", self.unit)
            changed = True
        # The process tells what it was started with, so a run that was interrupted before the restart is made good.
        if f'"LAB_DIGEST={self.running_digest()}"' not in self.file.read_text():
            # The answer may be a failure of the program, which the health check words better.
            self.module.run_command(["systemctl", "restart", self.unit])
            changed = True
        return changed

    def restore(self, files: dict[Path, str]) -> None:
        """Bring back an earlier description and run it."""
        self.write(files)
        self.apply()

    def remove(self) -> bool:
        """Stop the service and remove its files; return whether there were any."""
        return self.systemd.remove(self.present())

    def log_tail(self) -> str:
        """The end of the service's journal."""
        command = ["journalctl", "--unit", self.unit, "--lines", str(TAIL_LINES), "--no-pager", "--output", "cat"]
        return self.module.run_command(command)[1].strip() or "(no log)"
