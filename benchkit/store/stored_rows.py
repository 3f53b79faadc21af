"""Arrays of artifacts that stay on disk: the rows of a tensor, read one at a time."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from benchkit.store.manifest import Artifact, DamagedResult

_TYPES = {"U8": np.dtype(np.uint8), "BOOL": np.dtype(np.bool_)}


class StoredTensors(Mapping[str, "StoredRows"]):
    """The tensors of one safetensors file of an artifact, memory-mapped.

    Nothing is read before a tensor is asked for; then the file is checked against its checksum, once. Can be pickled.
    """

    def __init__(self, artifact: Artifact, file: str) -> None:
        self.artifact, self.file = artifact, file

    def __reduce__(self) -> tuple[type[StoredTensors], tuple[Artifact, str]]:
        return type(self), (self.artifact, self.file)  # another process maps the file itself

    def __getitem__(self, name: str) -> StoredRows:
        """Return the rows of a tensor; its header is read when it is used."""
        return StoredRows(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.header

    def __iter__(self) -> Iterator[str]:
        return iter(self.header)

    def __len__(self) -> int:
        return len(self.header)

    @property
    def header(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the entry of each tensor: `dtype`, `shape`, and `data_offsets` behind the header."""
        return self._opened[1]

    def read(self, offset: int, size: int, dtype: np.dtype[Any]) -> np.ndarray:
        """Return `size` values from `offset` on, counted from the end of the header; a copy."""
        mapped, _, start = self._opened
        found = np.frombuffer(mapped, dtype, size, start + offset).copy()
        if hasattr(mmap, "MADV_DONTNEED"):
            # Else every page that was ever read counts as this process's memory. The whole map, because reading some
            # bytes also maps pages around them.
            mapped.madvise(mmap.MADV_DONTNEED)
        return found

    @cached_property
    def _opened(self) -> tuple[mmap.mmap, Mapping[str, Mapping[str, Any]], int]:
        """Return the mapped file, its header, and where the tensors begin: behind 8 bytes with the header's length.

        A file that is deleted later can still be read.
        """
        with self.artifact.path(self.file).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                header = {name: entry for name, entry in json.loads(file.read(length)).items() if name[:2] != "__"}
            except (ValueError, AttributeError) as error:
                raise DamagedResult(self.artifact.key, f"'{self.file}' is not a readable safetensors file") from error
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), header, 8 + length


class StoredRows:
    """The rows of one tensor (N, ...) of uint8 or bool. A row that was read takes no memory afterwards."""

    def __init__(self, tensors: StoredTensors, name: str) -> None:
        self.tensors, self.name = tensors, name

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the tensor's shape."""
        return tuple(self._entry["shape"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the values."""
        return _TYPES[self._entry["dtype"]]

    @property
    def _entry(self) -> Mapping[str, Any]:
        return self.tensors.header[self.name]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a copy of one row; raise IndexError outside of 0 … N - 1."""
        count, *shape = self.shape
        if not 0 <= index < count:
            raise IndexError(f"row {index} of {count}")
        size = math.prod(shape)
        return self.tensors.read(self._entry["data_offsets"][0] + index * size, size, self.dtype).reshape(shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))
