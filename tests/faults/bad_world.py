"""The files that bad inputs are made of, and what a bad input must come to."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.small_comparison import PLUGINS
from tests.plugins.datasets.folder_makers import MAKERS

SIDE = 32


@dataclass(frozen=True)
class World:
    """A folder of the user's, into which a bad input is put; nothing in it may change."""

    folder: Path
    grid: Path
    checkpoint: Path
    finished: Path

    @property
    def out(self) -> Path:
        """Where a command is told to write."""
        return self.folder / "out" / "x"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def yaml(self, old: str, new: str) -> Path:
        text = self.grid.read_text()
        assert old in text
        return self.file("mine.yaml", text.replace(old, new))

    def plain(self, change: Callable[[Path], object] = lambda root: None, kind: str = "plain") -> Path:
        """A folder of images in one of the layouts, changed."""
        MAKERS[kind](self.folder / "data")
        change(self.folder / "data")
        return self.folder / "data"

    def model(self, change: Callable[[Path], object]) -> Path:
        """A copy of the checkpoint, changed."""
        copy = Path(shutil.copytree(self.checkpoint, self.folder / "model"))
        change(copy)
        return copy

    def cached(self, change: Callable[[Path], object] = lambda root: None) -> Path:
        """A copy of the finished comparison's cache, changed, as this test's cache."""
        shutil.copytree(self.finished, self.cache, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        change(self.cache)
        return self.cache


Arguments = Callable[[World], tuple[object, ...]]


@dataclass(frozen=True)
class Bad:
    """One bad input. says: what its one line on stderr must hold, file or flag and remedy."""

    arguments: Arguments
    says: tuple[str, ...]


def bad(arguments: Arguments, *says: str) -> Bad:
    """A bad input that is refused, exit code 2."""
    return Bad(arguments, says)


def compared(*options: object) -> Arguments:
    return lambda w: ("compare", w.grid, "--plugin", PLUGINS, "--out", w.out, "--device", "cpu", *options)


def compared_file(old: str, new: str) -> Arguments:
    return lambda w: (
        *("compare", w.yaml(old, new), "--plugin", PLUGINS, "--out", w.out, "--device", "cpu"),
        "--dry-run",
    )


def compared_text(text: str | bytes) -> Arguments:
    return lambda w: ("compare", w.file("mine.yaml", text), "--plugin", PLUGINS, "--dry-run")


def exported(dataset: str, root: Path, split: str = "pool") -> tuple[object, ...]:
    """Arguments that read every image of a split and write nothing but --out."""
    return ("data", "export", f"{dataset}:root={root},size=16", "--split", split, "--out", root.parent / "out")


def listing(folder: Path) -> Mapping[str, str]:
    """Every file and folder below `folder` with a digest of what it holds.

    SQLite's two companions of a database come and go with whoever reads it: what they stand for is in the database.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.endswith(("-shm", "-wal")):
            continue
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, form, **options)
    return sink.getvalue()


def noise(size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def grey(value: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    return Image.new("L", size, value)


def tar(files: Mapping[str, bytes], *special: tarfile.TarInfo) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in special:
            archive.addfile(info)
    return sink.getvalue()


def edited(path: Path, change: Callable[[Any], object]) -> None:
    """A JSON file with its content changed in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut(path: Path, keep: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def deep(levels: int = 100_000) -> str:
    """JSON, and YAML, that is nested deeper than any reader goes."""
    return "[" * levels + "]" * levels
