"""Reads the head of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# name, elements in a block, bytes of a block
_TENSOR_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
}
FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 14: "Q4_K_S", 15: "Q4_K_M"}


class TruncatedError(Exception):
    """The file ends before its head says it does; the text is Ollama's."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")


@dataclass(frozen=True)
class Gguf:
    """Metadata (arrays as None, as `/api/show` gives them) and tensors of a model file."""

    metadata: dict[str, Any]
    tensors: list[dict[str, Any]]
    parameters: int

    @property
    def architecture(self) -> str:
        """The model family, for example `llama`."""
        return str(self.metadata["general.architecture"])

    @property
    def file_type(self) -> str:
        """The quantisation's name, for example `Q4_1`."""
        return FILE_TYPES.get(int(self.metadata.get("general.file_type", -1)), "unknown")

    @property
    def parameter_size(self) -> str:
        """The number of parameters as Ollama writes it, for example `134.52M`."""
        for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
            if self.parameters >= unit:
                return f"{self.parameters / unit:.2f}{name}"
        return str(self.parameters)


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        chunk = self.data[self.at : self.at + size]
        if len(chunk) < size:
            raise TruncatedError
        self.at += size
        return chunk

    def scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        item, count = self.scalar("I"), self.scalar("Q")
        if item in _SCALARS:
            self.take(struct.calcsize("<" + _SCALARS[item]) * count)
        else:
            for _ in range(count):
                self.value(item)
        return None


def read(path: Path) -> Gguf:
    """Read the head of the file at `path`.

    Raises:
        TruncatedError: the file is shorter than its metadata or its tensors.
        ValueError: it is no GGUF file.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise TruncatedError
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Reader(data), len(data))


def _read(reader: _Reader, file_size: int) -> Gguf:
    if reader.take(4) != b"GGUF":
        raise ValueError("invalid file magic")
    reader.scalar("I")
    tensor_count, pair_count = reader.scalar("Q"), reader.scalar("Q")
    metadata = {}
    for _ in range(pair_count):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("I"))
    tensors, parameters, end = [], 0, 0
    for _ in range(tensor_count):
        name = reader.string()
        shape = [reader.scalar("Q") for _ in range(reader.scalar("I"))]
        type_name, block, block_bytes = _TENSOR_TYPES.get(reader.scalar("I"), ("unknown", 1, 0))
        elements = 1
        for length in shape:
            elements *= length
        end = max(end, reader.scalar("Q") + elements // block * block_bytes)
        parameters += elements
        tensors.append({"name": name, "type": type_name, "shape": shape})
    if reader.at + end > file_size:
        raise TruncatedError
    return Gguf(metadata, tensors, parameters)
