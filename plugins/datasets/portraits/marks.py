"""The shipped marks: which artifacts of `portraits` are visible, and where; frozen with the dataset's version.

They were computed once with the embedded autoencoder (`recipes/marks.py`) and are read here.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np

from benchkit.api import BenchkitError
from benchkit_plugins.datasets.portraits.labels import Labelled, VisibleArtifact, label_image
from benchkit_plugins.datasets.portraits.records import SIZE
from benchkit_plugins.datasets.portraits.wild import artifacts_at

ANNOTATED_SPLITS = ("pool", "validation", "test", "wild")
FOLDER = "portraits"


def marks_file(split: str) -> str:
    """Return the name of the asset with a split's marks."""
    return f"marks-{split}.npz"


def to_bytes(found: Sequence[Labelled]) -> bytes:
    """Return the marks of a whole split as one compressed file of plain arrays."""
    images, ordinals, masks = [], [], []
    for item in found:
        planned = artifacts_at(item.split, item.index)
        for mark in item.artifacts:
            images.append(item.index)
            ordinals.append(planned.index(mark.artifact))
            masks.append(np.packbits(mark.mask))
    file = io.BytesIO()
    np.savez_compressed(
        file, image=np.array(images, np.int32), ordinal=np.array(ordinals, np.int8), mask=np.stack(masks)
    )
    return file.getvalue()


@lru_cache(maxsize=len(ANNOTATED_SPLITS))
def load_marks(split: str) -> Mapping[int, tuple[tuple[int, bytes], ...]]:
    """Return image index -> (number of the planned artifact, packed mask) of the visible artifacts."""
    asset = resources.files("benchkit.assets") / FOLDER / marks_file(split)
    if not asset.is_file():
        raise BenchkitError(f"dataset 'portraits' lacks assets/{FOLDER}/{marks_file(split)}: reinstall benchkit")
    with np.load(io.BytesIO(asset.read_bytes()), allow_pickle=False) as arrays:
        found: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for image, ordinal, mask in zip(arrays["image"], arrays["ordinal"], arrays["mask"], strict=True):
            found[int(image)].append((int(ordinal), mask.tobytes()))
    return {image: tuple(marks) for image, marks in found.items()}


def read_annotated(split: str, index: int) -> Labelled:
    """Return one image with its visible artifacts, votes and label; raise BenchkitError if the marks are missing."""
    planned = artifacts_at(split, index)
    marks = load_marks(split).get(index, ()) if planned else ()
    kept = tuple(VisibleArtifact(planned[ordinal], unpack_mask(mask)) for ordinal, mask in marks)
    return label_image(split, index, kept)


def unpack_mask(mask: bytes) -> np.ndarray:
    """Return a packed mask as bool (128, 128)."""
    return np.unpackbits(np.frombuffer(mask, np.uint8)).reshape(SIZE, SIZE).astype(bool)
