"""Which GPUs the host's drivers offer."""

from pathlib import Path

import pytest

from ansible.module_utils.lab_host import gpus

NVIDIA = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.127.05  Tue Oct  8 03:22:07 UTC 2024\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, []),
        ({"proc/driver/nvidia/version": NVIDIA, "dev/nvidia0": ""}, ["NVIDIA, driver 550.127.05"]),
        ({"dev/nvidia0": ""}, ["NVIDIA"]),
        ({"dev/kfd": ""}, ["AMD, driver amdgpu"]),
    ],
    ids=["none", "nvidia", "nvidia in a container", "amd"],
)
def test_gpus_are_those_with_a_loaded_driver(tmp_path: Path, files: dict[str, str], found: list[str]) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert gpus(str(tmp_path)) == found
