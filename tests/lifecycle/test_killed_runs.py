"""A run of `make up` that is killed leaves a lab that the next one makes whole."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import lab_variables
from tests.support.lab import ROOT, Lab, changes, playbook

RUNS = int(os.environ.get("LAB_KILLED_RUNS", "10"))
SEED = int(os.environ.get("LAB_KILLED_SEED", "1"))
FULL_RUN_S = float(os.environ.get("LAB_RUN_SECONDS", "70"))  # a kill comes at any moment of it
# The first leaves Ansible's workers alive, as the kernel does where it ends the main process for want of memory.
KINDS = ("kill main", "interrupt", "kill all", "interrupt", "kill all")


def below(process: int) -> list[int]:
    """All processes below one, whichever session they are in."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in [child, *below(child)]]


def start(variables: dict[str, object], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("ansible-playbook")), "site.yml", "-e", json.dumps(variables)],
            cwd=ROOT / "ansible", stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip


def end(run: subprocess.Popen[bytes], kind: str) -> None:
    """Kill the run; with "kill main" its workers go on."""
    others = below(run.pid) if kind == "kill all" else []
    for process in (run.pid, *others):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT if kind == "interrupt" else signal.SIGKILL)
    run.wait()


@pytest.mark.long  # minutes for each
def test_one_run_makes_whole_what_a_killed_one_left(lab_folder: Path) -> None:
    moments = random.Random(SEED)
    for number in range(RUNS):
        kind, moment = KINDS[number % len(KINDS)], moments.uniform(1, FULL_RUN_S)
        home = lab_folder / f"killed-{number}"
        variables, log = lab_variables(home), lab_folder / "killed.log"
        began = time.monotonic()
        run = start(variables, log)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(moment)
            end(run, kind)
            last = log.read_text(errors="replace").splitlines()[-1:]
            print(f"{number + 1}: {kind} after {time.monotonic() - began:.0f} s, after: {last}", flush=True)
            healed = playbook("site", {"lab_home": str(home)} | variables)
            assert healed.returncode == 0, healed.stdout[-6000:] + healed.stderr
            Lab(home).wait_ready()
            assert playbook("status", {"lab_home": str(home)}).returncode == 0
            again = playbook("site", {"lab_home": str(home)})
            assert changes(again) == 0, again.stdout
        finally:
            playbook("down", {"lab_home": str(home)})
            shutil.rmtree(home, ignore_errors=True)
