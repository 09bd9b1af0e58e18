"""What must pass, in tiers. `tests/README.md` says what each holds.

Usage: python tests/run.py test|all|long|lint|install
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
RESULTS = ROOT / "build/tests"
# Program: Debian's package. Everybody needs the first; what `make test-all` drives on top of it is root's.
PACKAGES = {"chromium": "chromium", "git": "git"}
PACKAGES_OF_ROOT = {
    "setpriv": "util-linux",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
}
LINTERS = (
    ["ruff", "check"],
    ["ruff", "format", "--check"],
    ["mypy"],
    ["ansible-lint", "--offline", "--profile", "production"],
)
ENGINE_START_S = 60
# tests/conftest.py says which tests share a worker and in which order the groups are taken.
WORKERS = ["--dist", "loadscope", "--no-loadscope-reorder"]


def run(command: list[str], **options: object) -> int:
    print(f"\n$ {' '.join(command)}", flush=True)
    return subprocess.run(command, check=False, **options).returncode


def pytest(stage: str, *arguments: str, **environment: str) -> bool:
    """Run tests, keep what they took as `build/tests/STAGE.xml`, and return whether all passed."""
    command = [sys.executable, "-m", "pytest", f"--junitxml={RESULTS / stage}.xml", *arguments]
    return run(command, cwd=ROOT, env=os.environ | environment) == 0


def install_missing(packages: dict[str, str]) -> None:
    """Install these programs, or say how to."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # which an ordinary user's PATH lacks
    missing = sorted({package for program, package in packages.items() if shutil.which(program, path=path) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"Missing: {', '.join(missing)}. Ask an administrator: apt-get install {' '.join(missing)}")
    print(f"Installing {', '.join(missing)} with apt-get", flush=True)
    # The tests start the programs themselves: packages that bring a service must not start it too.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        if run(command, env=quiet, stdout=subprocess.DEVNULL) != 0:
            sys.exit(f"`{' '.join(command)}` failed")


def lint() -> bool:
    """Run all linters at the same time, print what each says, and return whether all passed."""
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}  # ansible-lint starts ansible by name

    def check(linter: list[str]) -> subprocess.CompletedProcess[str]:
        name, *arguments = linter
        return subprocess.run(
            [str(BIN / name), *arguments],
            cwd=ROOT / "ansible" if name == "ansible-lint" else ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    codes = []
    with ThreadPoolExecutor() as pool:
        for linter, done in zip(LINTERS, pool.map(check, LINTERS), strict=True):
            print(f"\n$ {' '.join(linter)}\n{done.stdout}", end="", flush=True)
            codes.append(done.returncode)
    if any(codes):
        print("\nThe linters found something, see above. The tests run all the same.", flush=True)
    return not any(codes)


class FreshLab:
    """The lab of the run, made as the README says in a copy of the checkout, beside what needs no lab."""

    def __init__(self, folder: Path) -> None:
        from tests.conftest import lab_variables

        self.home, self.clone, self.log = folder / "lab", folder / "clone", folder / "make.log"
        self._variables = folder / "variables.json"
        self._variables.write_text(json.dumps(lab_variables(self.home)))
        self._thread = threading.Thread(target=self._make)
        self._code: int | None = None

    def __enter__(self) -> FreshLab:
        self._thread.start()
        return self

    def _make(self) -> None:
        names = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "-co", "--exclude-standard"],
            cwd=ROOT, stdout=subprocess.PIPE, check=True,
        ).stdout.decode().split("\0")  # fmt: skip
        for name in filter(None, names):
            if (ROOT / name).exists():  # else removed, and not committed yet
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.clone / name, follow_symlinks=False)
        self._code = self.make("up")

    def make(self, target: str) -> int:
        with self.log.open("ab") as log:
            return subprocess.run(
                ["make", target, f"ARGS=-e @{self._variables}"],
                cwd=self.clone, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
            ).returncode  # fmt: skip

    def wait(self) -> bool:
        """Wait until the lab is made; print how it went where that failed."""
        began = time.monotonic()
        self._thread.join()
        waited = time.monotonic() - began
        print(
            f"\n`make up` in a fresh copy of the checkout ended with {self._code} after {waited:.0f} s more", flush=True
        )
        if self._code != 0:
            print(self.log.read_text(errors="replace")[-8000:], flush=True)
        return self._code == 0

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self.home.exists():
            self.make("down")


def test() -> bool:
    """Everything that matters for an embedded lab: no root, no Docker."""
    from tests.support.folders import lab_folder, remove_leftovers

    shutil.rmtree(RESULTS, ignore_errors=True)  # of an earlier run; `make test-all` adds its own
    install_missing(PACKAGES)
    remove_leftovers()
    with lab_folder() as folder, FreshLab(folder) as lab:
        passed = [lint(), pytest("unit", "tests/unit", "tests/frontend")]
        passed.append(lab.wait())
        if passed[-1]:
            in_use = {"LAB_UNDER_TEST": str(lab.home)}
            passed.append(
                pytest("lab", "-n", "3", *WORKERS, "tests/engine", "tests/integration", "tests/browser", **in_use)
            )
            passed.append(pytest("lifecycle", "tests/lifecycle", **in_use))  # alone: it stops and changes the lab
    print("\nLeft to `make test-all` (root): containers, hosts with systemd, accounts, images, Ollama, mirrors.")
    return all(passed)


def rest() -> bool:
    """What `make test` leaves out."""
    if os.geteuid() != 0:
        sys.exit("make test-all: it makes accounts and hosts, and starts Docker: run it as root")
    install_missing(PACKAGES | PACKAGES_OF_ROOT)
    with engine():
        return pytest("hosts", "-n", "3", *WORKERS, "tests/hosts", "tests/doubles_contract")


def before_a_release() -> bool:
    """What takes long and seldom fails: more kills, and what a host goes through over the years."""
    files = [f"tests/lifecycle/test_{name}.py" for name in ("journal", "killed_runs", "own_model")]
    passed = [pytest("long", "-s", "-m", "", *files, LAB_KILL_MOMENTS="10")]
    if os.geteuid() == 0:
        install_missing(PACKAGES | PACKAGES_OF_ROOT)
        with engine():
            passed.append(pytest("years", "-n", "3", *WORKERS, "-m", "", "tests/hosts"))
    return all(passed)


def engine_answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """A Docker engine for the block: the one that runs, or one that is started and stopped again."""
    if engine_answers():
        yield
        return
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(["dockerd"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + ENGINE_START_S
            while not engine_answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"make test-all: dockerd does not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait()


def report() -> None:
    """Print the slowest tests of all stages, and each stage's closing line."""
    times: dict[str, float] = {}
    lines = []
    for file in sorted(RESULTS.glob("*.xml"), key=lambda path: path.stat().st_mtime):
        [suite] = ElementTree.parse(file).getroot()
        for case in suite.iter("testcase"):
            times[f"{case.get('classname')}::{case.get('name')}"] = float(case.get("time", 0))
        ran, *others = (int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped"))
        words = zip(others, ("failed", "errors", "skipped"), strict=True)
        counted = ", ".join([f"{ran - sum(others)} passed", *(f"{count} {word}" for count, word in words if count)])
        lines.append(f"{file.stem}: {counted} in {float(suite.get('time', 0)):.2f}s")
    print("\nThe slowest 25:")
    for name, seconds in sorted(times.items(), key=operator.itemgetter(1), reverse=True)[:25]:
        print(f"{seconds:8.2f}s {name}")
    print("\n".join(["", *lines]), flush=True)


def main() -> None:
    """Run one tier; the exit code says whether all of it passed."""
    sys.path.insert(0, str(ROOT))
    tier = sys.argv[1]
    if tier == "install":
        install_missing(PACKAGES | (PACKAGES_OF_ROOT if os.geteuid() == 0 else {}))
    elif tier == "lint":
        sys.exit(not lint())
    else:
        passed = {"test": test, "all": rest, "long": before_a_release}[tier]()
        report()
        sys.exit(not passed)


if __name__ == "__main__":
    main()
