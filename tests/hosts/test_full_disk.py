"""A disk that is too small is found before, and one that fills up while installing is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import lab_variables
from tests.lifecycle.test_refusals import refused


def test_a_full_disk_is_found_before_and_named_while_installing(lab_folder: Path) -> None:
    small = lab_folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m,mode=0755", "tmpfs", small], check=True)
    try:
        variables = lab_variables(small / "lab")
        assert "MB of disk are free" in refused(variables)
        words = refused(variables | {"preflight_minimum_disk_mb": 1})
        assert "Make room on this disk" in words
    finally:
        subprocess.run(["umount", small], check=True)
        small.rmdir()
