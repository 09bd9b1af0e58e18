"""The double, unpacked once, and mirrors of its models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.mirror import Mirror
from tests.doubles.ollama_process import OllamaProcess, unpack
from tests.doubles.runtime import model_file, runtime_python
from tests.doubles_contract import recorded

PUSHED_FROM = f"{recorded.MODELS_FOLDER}/blobs/sha256-b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("release"), runtime_python())


@pytest.fixture(scope="session")
def gguf() -> Path:
    return model_file(runtime_python())


@pytest.fixture
def mirror(tmp_path: Path, gguf: Path) -> Iterator[Mirror]:
    """A registry as the recordings used it: SmolLM2 pushed from another machine."""
    with Mirror(tmp_path) as started:
        started.registry.add("smollm2:135m", gguf, context=4096, pushed_from=PUSHED_FROM)
        yield started


@pytest.fixture
def ollama(binary: Path, tmp_path: Path) -> Iterator[OllamaProcess]:
    with OllamaProcess(binary, tmp_path / "ollama", environment={"OLLAMA_DOUBLE_STALL_SECONDS": "1"}) as started:
        yield started
