"""Checks of samples where a dataset plugin returns them.

What `benchkit.api.Sample` promises is demanded here in the same words by every command that reads samples and by
`benchkit plugins check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchkit.api import BenchkitError, Dataset, Sample

#: The attribute in which a dataset keeps its graded map of artifacts, (H, W) and not negative, where it has one.
HEATMAP = "heatmap"
#: Faults of one reading that are written out.
NAMED = 3


@dataclass(frozen=True)
class Mismatch:
    """One fault of a sample. remedy: what the plugin's author can do, or nothing."""

    expected: str
    actual: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"expected {self.expected}, not {self.actual}" + (f": {self.remedy}" if self.remedy else "")


def read_samples(
    dataset: Dataset, split: str, indices: Sequence[int], *, name: str | None = None, alone: bool = False
) -> list[Sample]:
    """Read samples from a dataset plugin and check them.

    name: of the dataset, for messages; by default as it prints itself. alone: read the last one once more by itself, to
    see whether the order is kept. Raises BenchkitError that names plugin, split and index, and the expected and
    the actual value.
    """
    who = name or f"dataset '{dataset.name}'"
    samples = list(dataset.read(split, indices))
    if len(samples) != len(indices):
        raise BenchkitError(f"{who}: read() gave {len(samples)} samples of split '{split}' for {len(indices)} indices")
    faults = _faults(split, indices, samples)
    if not faults:
        faults = list(_repeated(split, indices, samples))
    if not faults and alone and len(samples) > 1:
        again = dataset.read(split, indices[-1:])[0].id
        if again != samples[-1].id:
            faults.append(
                f"{split}[{indices[-1]}]: read() gave '{samples[-1].id}' among others and '{again}' alone: return the "
                "samples in the order of the indices"
            )
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise BenchkitError(f"{who}: {'; '.join(faults[:NAMED])}{more}")
    return samples


def _faults(split: str, indices: Sequence[int], samples: Sequence[Any]) -> list[str]:
    """Return each fault once, with the first sample that has it and the number of others."""
    places: dict[str, list[str]] = {}
    for index, sample in zip(indices, samples, strict=True):
        for fault in sample_faults(sample):
            places.setdefault(str(fault), []).append(f"{split}[{index}]{_identified(sample)}")
    return [
        f"{first}{f' and {len(others)} more' if others else ''}: {fault}" for fault, (first, *others) in places.items()
    ]


def sample_faults(sample: Any) -> Iterator[Mismatch]:
    """Yield everything that is wrong with one sample."""
    if not isinstance(sample, Sample):
        yield Mismatch("benchkit.api.Sample", type(sample).__name__)
        return
    for faults in (id_faults, image_faults, mask_faults, caption_faults, attribute_faults):
        yield from faults(sample)


def id_faults(sample: Sample) -> Iterator[Mismatch]:
    if not isinstance(sample.id, str) or not sample.id:
        yield Mismatch("an id that is a str and not empty", f"{sample.id!r}"[:80])


def caption_faults(sample: Sample) -> Iterator[Mismatch]:
    if sample.caption is not None and not isinstance(sample.caption, str):
        yield Mismatch("a caption that is str or None", type(sample.caption).__name__)


def image_faults(sample: Sample) -> Iterator[Mismatch]:
    image = sample.image
    if not is_image(image):
        yield Mismatch("an image that is an (H, W, 3) uint8 array", described(image), _image_remedy(image))


def is_image(image: Any) -> bool:
    """Whether it is an (H, W, 3) uint8 array with a pixel in it."""
    fits = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    return fits and image.size > 0


def mask_faults(sample: Sample) -> Iterator[Mismatch]:
    """Of the mask, of the kinds' masks and of the ignored pixels."""
    if not is_image(sample.image):
        return
    size = sample.image.shape[:2]
    if not isinstance(sample.kinds, Mapping) or not all(isinstance(kind, str) for kind in sample.kinds):
        yield Mismatch("kinds that map names to masks", _keys(sample.kinds))
        return
    found = {"mask": sample.mask, "ignored": sample.ignored}
    found = {name: mask for name, mask in found.items() if mask is not None}
    found |= {f"kinds['{kind}']": mask for kind, mask in sample.kinds.items()}
    wrong = [name for name, mask in found.items() if not _is_mask(mask, size)]
    for name in wrong:
        yield Mismatch(f"{name} that is {size} bool", described(found[name]), _mask_remedy(found[name], size))
    if not wrong and "mask" in found and "ignored" in found:
        both = int((sample.mask & sample.ignored).sum())  # type: ignore[operator]
        if both:
            yield Mismatch("a mask that is False where pixels are ignored", f"{both} pixels that are both")


def attribute_faults(sample: Sample) -> Iterator[Mismatch]:
    if not isinstance(sample.attributes, Mapping):
        yield Mismatch("attributes that map names to values", type(sample.attributes).__name__)
        return
    graded = sample.attributes.get(HEATMAP)
    if graded is None or not is_image(sample.image):
        return
    size = sample.image.shape[:2]
    name = f"attributes['{HEATMAP}']"
    if not isinstance(graded, np.ndarray) or graded.shape != size or graded.dtype.kind not in "fuib":
        yield Mismatch(f"{name} that is a {size} array of numbers", described(graded))
    elif not np.isfinite(graded).all() or not (graded >= 0).all():
        yield Mismatch(f"{name} of finite numbers, 0 or more", "NaN, infinite or negative ones")


def described(value: Any) -> str:
    """Return an array's shape and type, or the class of anything else."""
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _image_remedy(image: Any) -> str:
    if not isinstance(image, np.ndarray):
        return 'give np.asarray(image.convert("RGB"))' if hasattr(image, "convert") else "give a numpy array"
    if image.ndim == 2:
        return "repeat the grey channel: np.repeat(image[..., None], 3, axis=2)"
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        return "move the channels last: image.transpose(1, 2, 0)"
    if image.ndim == 3 and image.shape[2] == 4:
        return "leave the alpha channel out: image[..., :3]"
    if image.dtype.kind == "f":
        return "from [0, 1] convert with (image * 255).round().astype(np.uint8)"
    return "from 16 bits convert with (image >> 8).astype(np.uint8)" if image.dtype == np.uint16 else ""


def _mask_remedy(mask: Any, size: tuple[int, ...]) -> str:
    if isinstance(mask, np.ndarray) and mask.shape == size:
        return "compare, such as mask == 1, so that every value has a meaning"
    return "" if isinstance(mask, np.ndarray) else "give a numpy array"


def _is_mask(mask: Any, size: tuple[int, ...]) -> bool:
    return isinstance(mask, np.ndarray) and mask.shape == size and mask.dtype == np.bool_


def _keys(kinds: Any) -> str:
    other = next((kind for kind in kinds if not isinstance(kind, str)), None) if isinstance(kinds, Mapping) else kinds
    return type(other).__name__


def _identified(sample: Any) -> str:
    name = getattr(sample, "id", None)
    return f" ('{name}')" if isinstance(name, str) and name else ""


def _repeated(split: str, indices: Sequence[int], samples: Sequence[Sample]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, sample in zip(indices, samples, strict=True):
        first = seen.setdefault(sample.id, index)
        if first != index:
            yield f"{split}[{first}] and {split}[{index}] have the same id '{sample.id}': give every sample its own"
