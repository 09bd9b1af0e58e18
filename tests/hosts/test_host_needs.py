"""What a host lacks that no role brings is named before anything is touched."""

from __future__ import annotations

import pytest

from tests.hosts.conftest import Site
from tests.hosts.test_runtime_unit import words


@pytest.mark.parametrize(
    ("runtime", "file", "remedy"),
    [
        (
            "ollama",
            "/usr/bin/zstd",
            "needs the program zstd for its archive, which is not here. Install it, on Debian and Ubuntu",
        ),
        (
            "llama_cpp",
            "/usr/lib/*/libgomp.so.1*",
            "needs the library libgomp, which is not here. Install it, on Debian",
        ),
    ],
)
def test_a_missing_program_or_library_is_named(site: Site, runtime: str, file: str, remedy: str) -> None:
    site.machine.shell(f"mkdir -p /away && mv {file} /away/ && ldconfig")
    try:
        models = [{"name": "smollm2", "context": 1024, "ollama": {"tag": "smollm2:135m"}, "llama_cpp": {"wheel": "w"}}]
        run = site.playbook("site", lab_profile="embedded", lab_runtime=runtime, lab_models=models)
        assert run.returncode != 0
        assert remedy in words(run)
        assert site.machine.shell("ls -d /opt/genailabs/ollama /opt/genailabs/venvs", check=False) == ""
    finally:
        site.machine.shell(f"cp -a /away/. $(dirname {file.replace('*', '$(uname -m)-linux-gnu')})/ && ldconfig")
