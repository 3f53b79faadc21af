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

    @cached_property
    def map(self) -> mmap.mmap:
        """Return the mapped file. A file that is deleted later can still be read."""
        with self.artifact.path(self.file).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @cached_property
    def header(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the entry of each tensor: `dtype`, `shape`, and `data_offsets` behind the header."""
        try:
            return {name: entry for name, entry in json.loads(self.map[8 : self.start]).items() if name[:2] != "__"}
        except (ValueError, AttributeError) as error:
            raise DamagedResult(self.artifact.key, f"'{self.file}' is not a readable safetensors file") from error

    @cached_property
    def start(self) -> int:
        """Return where the tensors begin: behind 8 bytes with the length of the header, and the header."""
        return 8 + int.from_bytes(self.map[:8], "little")


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
        begin = self.tensors.start + self._entry["data_offsets"][0] + index * size
        row = np.frombuffer(self.tensors.map, self.dtype, size, begin).reshape(shape).copy()
        if hasattr(mmap, "MADV_DONTNEED"):
            # Else every page that was ever read counts as this process's memory.
            page = begin - begin % mmap.PAGESIZE
            self.tensors.map.madvise(mmap.MADV_DONTNEED, page, begin + size - page)
        return row

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))
