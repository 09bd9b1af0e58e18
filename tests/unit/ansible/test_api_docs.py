import subprocess
import sys

from tests.support.lab import ROOT


def test_the_api_pages_say_what_the_docstrings_say() -> None:
    command = [sys.executable, ROOT / "ansible/api_docs.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
