"""The images of a season as one file of plain arrays: a dataset that can draw fresh images reads them from it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchkit.api import BenchkitError, Sample

#: The split whose images they are.
SEASON = "season"


def season_to_bytes(samples: Sequence[Sample]) -> bytes:
    """Return annotated samples of one size as a compressed file; equal samples give equal bytes."""
    kinds = [(i, kind, mask) for i, sample in enumerate(samples) for kind, mask in sorted(sample.kinds.items())]
    sink = io.BytesIO()
    np.savez_compressed(
        sink,
        id=np.array([sample.id for sample in samples]),
        caption=np.array([sample.caption or "" for sample in samples]),
        image=np.stack([sample.image for sample in samples]),
        mask=np.stack([np.packbits(np.asarray(sample.mask, bool)) for sample in samples]),
        kind_image=np.array([i for i, _, _ in kinds], np.int32),
        kind=np.array([kind for _, kind, _ in kinds], np.str_),
        kind_mask=np.stack([np.packbits(np.asarray(mask, bool)) for _, _, mask in kinds])
        if kinds
        else np.empty((0, 0), np.uint8),
    )
    return sink.getvalue()


def read_season(path: str) -> tuple[Sample, ...]:
    """Return the samples of a file, which is read once; raise BenchkitError for a file that is none."""
    return _read(path, _stamp(path))


def digest_season(path: str) -> str:
    """Return the sha256 of a file."""
    return _digest(path, _stamp(path))


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise BenchkitError(f"the season's images '{path}' cannot be read: {error.strerror or error}") from None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4)
def _digest(path: str, stamp: tuple[int, int]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@lru_cache(maxsize=2)
def _read(path: str, stamp: tuple[int, int]) -> tuple[Sample, ...]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        images = arrays["image"]
        shape = images.shape[1:3]
        masks = [_unpack(mask, shape) for mask in arrays["mask"]]
        kinds: list[dict[str, np.ndarray]] = [{} for _ in images]
        for i, kind, mask in zip(arrays["kind_image"], arrays["kind"], arrays["kind_mask"], strict=True):
            kinds[int(i)][str(kind)] = _unpack(mask, shape)
        texts = zip(arrays["id"].tolist(), arrays["caption"].tolist(), strict=True)
        named = zip(texts, images, masks, kinds, strict=True)
        return tuple(Sample(name, image, mask, text or None, own) for (name, text), image, mask, own in named)
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise BenchkitError(f"'{path}' does not hold a season's images: {error}") from None


def _unpack(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(mask, count=shape[0] * shape[1]).reshape(shape).astype(bool)
