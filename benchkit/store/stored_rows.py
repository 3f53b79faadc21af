"""Arrays of artifacts that stay on disk: the rows of a tensor, read one at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.store.manifest import Artifact, DamagedResult

_TYPES = {"U8": np.dtype(np.uint8), "BOOL": np.dtype(np.bool_), "I64": np.dtype(np.int64)}


class StoredTensors(Mapping[str, "StoredRows"]):
    """The tensors of one safetensors file of an artifact.

    Nothing is read before a tensor is asked for; then the file is checked against its checksum, once. It is opened for
    each read anew, because a training set has more files than a process may hold open. Other processes can receive it.
    """

    def __init__(self, artifact: Artifact, file: str) -> None:
        self.artifact, self.file = artifact, file

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
        """Return `size` values from `offset` on, counted from the end of the header.

        Raises DamagedResult where the file cannot be read any more.
        """
        begin = self._opened[0] + offset
        try:
            try:
                found = np.fromfile(self._path, dtype, size, offset=begin)
            except FileNotFoundError:  # of a store behind a URL: copies make room for newer ones, and are fetched again
                del self._path
                found = np.fromfile(self._path, dtype, size, offset=begin)
        except OSError as error:
            raise self._damage(f"cannot be read ({error.strerror or error})") from error
        if len(found) < size:
            raise self._damage("has become shorter")
        return found

    @cached_property
    def _path(self) -> Path:
        return self.artifact.path(self.file)

    @cached_property
    def _opened(self) -> tuple[int, Mapping[str, Mapping[str, Any]]]:
        """Return where the tensors begin, behind 8 bytes with the header's length and the header, and the header."""
        with self._path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                header = {name: entry for name, entry in json.loads(file.read(length)).items() if name[:2] != "__"}
            except (ValueError, AttributeError) as error:
                raise self._damage("is not a readable safetensors file") from error
        return 8 + length, header

    def _damage(self, problem: str) -> DamagedResult:
        return DamagedResult(self.artifact.key, f"'{self.file}' {problem}")


class StoredRows:
    """The rows of one tensor (N, ...) of uint8, bool or int64."""

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
        """Read one row; raise IndexError outside of 0 … N - 1."""
        count, *shape = self.shape
        if not 0 <= index < count:
            raise IndexError(f"row {index} of {count}")
        size = math.prod(shape)
        begin = self._entry["data_offsets"][0] + index * size * self.dtype.itemsize
        return self.tensors.read(begin, size, self.dtype).reshape(shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))
