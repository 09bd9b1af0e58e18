"""Make the checkout's virtual environment from the locked requirements, with nothing but Python's standard library.

Works without pip and without the venv module (Debian splits both off): uv is taken from the package index as the
wheel that requirements.txt names, checked against the hashes there, and makes the environment.

Usage: python3 ansible/bootstrap.py
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.txt"
VENV = ROOT / ".venv"
STAMP = VENV / ".locked"
INDEX_TIMEOUT_S = 20
UV_PLATFORMS = {"x86_64": "manylinux_2_17_x86_64", "aarch64": "manylinux_2_17_aarch64"}


def fail(message: str) -> None:
    """End with one line that says what is wrong and what to do."""
    sys.exit(f"make: {message}")


def package_index() -> str:
    """The simple index to use: uv's or pip's own setting, else PyPI."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(variable):
            return os.environ[variable].rstrip("/")
    return "https://pypi.org/simple"


def locked_uv() -> tuple[str, set[str]]:
    """Version and permitted sha256 digests of uv, as requirements.txt has them."""
    entry = re.search(r"^uv==(\S+)((?:\s*\\\n\s+--hash=sha256:\w+)+)", LOCK.read_text(), re.MULTILINE)
    if entry is None:
        raise SystemExit(f"make: {LOCK} names no uv; run `git checkout requirements.txt`")
    return entry[1], set(re.findall(r"sha256:(\w+)", entry[2]))


def fetch(url: str, accept: str = "*/*") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=INDEX_TIMEOUT_S) as answer:
        return answer.read()


def download_uv(folder: Path) -> Path:
    """Put the locked uv into `folder`; return the path of its executable."""
    version, digests = locked_uv()
    tag = UV_PLATFORMS.get(platform.machine())
    if tag is None:
        fail(f"no uv for {platform.machine()}; the lab runs on x86_64 and aarch64")
    page = f"{package_index()}/uv/"
    listing = fetch(page, "application/vnd.pypi.simple.v1+json, text/html;q=0.5").decode()
    if listing.lstrip().startswith("{"):
        links = [file["url"] for file in json.loads(listing)["files"]]
    else:
        links = re.findall(r'href="([^"]+)"', listing)
    wanted = f"/uv-{version}-py3-none-{tag}"
    link = next((link for link in links if wanted in link), None)
    if link is None:
        raise SystemExit(f"make: {page} has no uv {version} for {tag}; is it a complete mirror of PyPI?")
    wheel = fetch(urllib.parse.urljoin(page, link.split("#")[0]))
    if hashlib.sha256(wheel).hexdigest() not in digests:
        fail(f"uv {version} from {package_index()} does not have the digest in requirements.txt; refused")
    archive = folder / "uv.whl"
    archive.write_bytes(wheel)
    with zipfile.ZipFile(archive) as opened:
        member = next(name for name in opened.namelist() if name.endswith("/scripts/uv"))
        executable = Path(opened.extract(member, folder))
    executable.chmod(0o755)
    return executable


def python_of(environment: Path) -> str:
    """Version of an environment's Python, empty if there is none that runs."""
    try:
        command = [str(environment / "bin/python"), "-c", "import platform; print(platform.python_version())"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def install(uv: Path) -> None:
    # The system's certificates are what a company's proxy has put its own into; uv ignores them unless told.
    environment = {"UV_SYSTEM_CERTS": "true", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", **os.environ}
    make = ["venv", "--quiet", "--python", sys.executable, "--clear", str(VENV)]
    # An environment of the same Python is brought up to date in place, so that a failed download leaves it as it is.
    steps = (
        *([] if python_of(VENV) == platform.python_version() else [make]),
        ["pip", "sync", "--quiet", "--no-build", "--require-hashes", "--python", str(VENV / "bin/python"), str(LOCK)],
    )
    for step in steps:
        if subprocess.run([str(uv), *step], env=environment, check=False).returncode != 0:
            fail(
                "the requirements could not be installed (see above). Needed: about 2 GB of disk and a package index"
                " (PyPI, or a mirror named by UV_DEFAULT_INDEX)"
            )


def main() -> None:
    """Make or renew `.venv` unless it already holds what requirements.txt says."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this is the check itself
        fail(
            f"Python 3.11 or newer is needed, {sys.executable} is {platform.python_version()};"
            " try make PYTHON=python3.12 up"
        )
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run in this checkout ends first
        make_current()


def make_current() -> None:
    """Install what requirements.txt says where that is not there yet."""
    state = hashlib.sha256(LOCK.read_bytes()).hexdigest() + " " + platform.python_version() + " " + str(VENV)
    if STAMP.is_file() and STAMP.read_text() == state:
        return
    print("Installing the locked requirements into .venv …", flush=True)
    STAMP.unlink(missing_ok=True)  # a run that is killed leaves no word of what an earlier one made
    with tempfile.TemporaryDirectory() as scratch:
        try:
            uv = download_uv(Path(scratch))
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            raise SystemExit(
                f"make: {package_index()} does not answer ({error}); name a mirror by UV_DEFAULT_INDEX"
            ) from None
        install(uv)
    STAMP.write_text(state)


if __name__ == "__main__":
    main()
