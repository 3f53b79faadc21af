"""The files of a site: made when they are written or compared, so that few are in memory at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

#: The bytes of a file, or what makes them, a block at a time and the same ones each time.
Content = bytes | Callable[[], Iterable[bytes]]


class Files(Mapping[str, bytes]):
    """Path -> the bytes of a file."""

    def __init__(self, contents: Mapping[str, Content]) -> None:
        self._contents = contents

    def __getitem__(self, path: str) -> bytes:
        return b"".join(self.blocks(path))

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        content = self._contents[path]
        yield from [content] if isinstance(content, bytes) else content()

    def write(self, path: str, file: Path) -> str:
        """Write one of the files to disk, and return its sha256."""
        digest = hashlib.sha256()
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            for block in self.blocks(path):
                opened.write(block)
                digest.update(block)
        return digest.hexdigest()

    def differs(self, path: str, file: Path) -> tuple[bool, str]:
        """Return whether a file on disk differs from one of the files, and the sha256 of that one."""
        digest, same = hashlib.sha256(), True
        with file.open("rb") as opened:
            for block in self.blocks(path):
                digest.update(block)
                same = same and opened.read(len(block)) == block
            return not same or opened.read(1) != b"", digest.hexdigest()
