"""Everything that must pass: linters, then all tests, with several workers at a time.

Root gets what is missing installed; an ordinary user is told what is missing and how to get it.

Usage: python tests/run.py [--lint-only] [pytest arguments …]
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PACKAGES = {  # program: Debian's package
    "chromium": "chromium",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
}
ENGINE_START_S = 60
# tests/conftest.py says which tests share a worker and in which order the groups are taken.
WORKERS = ["-n", "3", "--dist", "loadscope", "--no-loadscope-reorder"]
LINTERS = (
    ["ruff", "check"],
    ["ruff", "format", "--check"],
    ["mypy"],
    ["ansible-lint", "--offline", "--profile", "production"],
)


def run(command: list[str], **options: object) -> int:
    print(f"\n$ {' '.join(command)}", flush=True)
    return subprocess.run(command, check=False, **options).returncode  # type: ignore[call-overload]


def install_missing(*programs: str) -> None:
    """Install these programs, by default all that the tests drive, or say how to."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # which an ordinary user's PATH lacks
    wanted = programs or tuple(PACKAGES)
    missing = sorted({PACKAGES[program] for program in wanted if shutil.which(program, path=path) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"Missing: {', '.join(missing)}. Ask an administrator: apt-get install {' '.join(missing)}")
    print(f"Installing {', '.join(missing)} with apt-get")
    # The tests start the programs themselves: packages that bring a service must not start it too.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        if run(command, env=quiet, stdout=subprocess.DEVNULL) != 0:
            sys.exit(f"`{' '.join(command)}` failed")


def engine_answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """A Docker engine for the block: the one that runs, or one that is started and stopped again."""
    if engine_answers() or os.geteuid() != 0:
        yield
        return
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(["dockerd"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + ENGINE_START_S
            while not engine_answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"make test: dockerd does not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait()


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
    return not any(codes)


def main() -> None:
    """Lint, then test; the exit code says whether all passed."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--lint-only"]:
        sys.exit(0 if lint() else 1)
    install_missing()
    linted = lint()
    if not linted:
        print("\nThe linters found something, see above. The tests run all the same.", flush=True)
    with engine():
        tested = run([sys.executable, "-m", "pytest", *(arguments or WORKERS)], cwd=ROOT) == 0
    sys.exit(0 if linted and tested else 1)


if __name__ == "__main__":
    main()
