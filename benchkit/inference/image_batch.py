"""Images of a dataset, held together with their masks, captions and ids."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError, describe_value

if TYPE_CHECKING:
    import numpy as np

    from benchkit.api import Sample
    from benchkit.inference.models import ModelLike

#: Images on the contact sheet of a batch.
SHOWN = 24


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Some images of a split, in order. A notebook shows them on a contact sheet with their masks.

    samples: the dataset's records, see `benchkit.api.Sample`. source: where they come from, for people.

    Example:
        >>> import benchkit
        >>> batch = benchkit.load_dataset("portraits")["clean"][:2]
        >>> batch.images.shape, batch.images.dtype
        ((2, 128, 128, 3), dtype('uint8'))
        >>> len(batch.captions), len(batch.ids)
        (2, 2)
    """

    samples: tuple[Sample, ...]
    source: str = ""

    def __post_init__(self) -> None:
        from benchkit.api import Sample

        if not isinstance(self.samples, list | tuple):
            raise ArgumentTypeError(
                f"samples: {describe_value(self.samples)} is no list of samples: give a tuple of them"
            )
        for sample in self.samples:
            if not isinstance(sample, Sample):
                raise ArgumentTypeError(f"samples: {describe_value(sample)} is no benchkit.api.Sample: make one of it")
        object.__setattr__(self, "samples", tuple(self.samples))
        if not self.samples:
            raise ArgumentValueError("samples: the batch is empty: choose one image or more")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples in order."""
        return iter(self.samples)

    def __getitem__(self, rows: slice | Sequence[int]) -> ImageBatch:
        """Return some of the images; of one image, use `batch.samples[i]`."""
        return ImageBatch(tuple(self.samples[i] for i in check_rows(rows, len(self), "batch")), self.source)

    @cached_property
    def images(self) -> np.ndarray:
        """The images, (N, H, W, 3) uint8; raises ArgumentValueError if they have several sizes."""
        from benchkit.inference.images import pixel_arrays, stack

        return stack(pixel_arrays(self), "images")

    @cached_property
    def masks(self) -> np.ndarray:
        """The annotated artifact pixels, (N, H, W) bool.

        Raises ArgumentValueError if an image is not annotated: `annotated` says which, `samples[i].mask` is None there.
        """
        import numpy as np

        without = [sample.id for sample in self.samples if sample.mask is None]
        if without:
            raise ArgumentValueError(
                f"masks: {len(without)} of these {len(self)} images are not annotated ('{without[0]}' is the first): "
                "take annotated ones (see .annotated), or make masks with benchkit.select"
            )
        self.images  # noqa: B018  # raises for several sizes
        return np.stack([np.asarray(sample.mask) for sample in self.samples])

    @property
    def annotated(self) -> np.ndarray:
        """Which images have a mask, (N,) bool; an empty mask says that the image has no artifact."""
        import numpy as np

        return np.array([sample.mask is not None for sample in self.samples])

    @cached_property
    def labels(self) -> np.ndarray:
        """What a detector learns from: `masks`, or (N, H, W) uint8 with 255 where any pixel is ignored."""
        import numpy as np

        if all(sample.ignored is None for sample in self.samples):
            return self.masks
        blank = np.zeros(self.masks.shape[1:], bool)
        ignored = np.stack([blank if sample.ignored is None else sample.ignored for sample in self.samples])
        return np.where(ignored, np.uint8(255), self.masks)

    def autoencoded(self, model: ModelLike) -> ImageBatch:
        """Return the batch after one pass through a checkpoint's autoencoder.

        In a comparison every image passes it once, so that no detector can recognise the decoder instead of the
        artifacts. `corrupt` and `evaluate` do this themselves. Do it before `select` and `train`. model: a checkpoint's
        name or a loaded one; its factor must divide the images' sides.
        """
        from benchkit.inference.images import check_divisible
        from benchkit.inference.models import find_model
        from benchkit.stages.images import autoencode

        backend = find_model(model)
        check_divisible("images", (self.images.shape[2], self.images.shape[1]), backend.factor)
        decoded = autoencode(backend, self.images)
        samples = (replace(sample, image=image) for sample, image in zip(self.samples, decoded, strict=True))
        return ImageBatch(tuple(samples), f"{self.source}, autoencoded")

    @property
    def captions(self) -> tuple[str | None, ...]:
        """The captions; None where an image has none."""
        return tuple(sample.caption for sample in self.samples)

    @property
    def ids(self) -> tuple[str, ...]:
        """The images' ids, which the noise of every method is drawn by."""
        return tuple(sample.id for sample in self.samples)

    def __repr__(self) -> str:
        shapes = {sample.image.shape[:2] for sample in self.samples}
        size = " and ".join(f"{width}x{height}" for height, width in sorted(shapes)[:2])
        source = f", from {self.source}" if self.source else ""
        return f"<ImageBatch: {len(self)} images of {size} pixels, {self.annotated.sum()} annotated{source}>"

    @cached_property
    def _sheet(self) -> bytes:
        from benchkit.report.contact_sheet import contact_sheet
        from benchkit.report.pictures import draw_pictures

        first = f", the first {SHOWN} of {len(self)} images" if len(self) > SHOWN else f", {len(self)} images"
        return draw_pictures(contact_sheet(f"{self.source}{first}", self.samples[:SHOWN]), "png")

    def _repr_png_(self) -> bytes:
        """Return the contact sheet, for a notebook."""
        return self._sheet

    def _repr_html_(self) -> str:
        """Return the contact sheet with a text for readers who do not see it."""
        return html_picture(self._sheet, f"Contact sheet: {repr(self).strip('<>')}")


def html_picture(png: bytes, text: str) -> str:
    """Return a PNG file as HTML that needs no other file; text: what it shows, escaped here."""
    data = base64.b64encode(png).decode("ascii")
    return f'<img style="max-width:100%;height:auto" alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def check_rows(rows: slice | Sequence[int], size: int, name: str) -> list[int]:
    """Return the indices that a slice, a list of whole numbers, or a list of one bool for each image means.

    Negative numbers count from the end. Raises ArgumentTypeError for anything else, ArgumentValueError for numbers out
    of range, for another number of bools, and where nothing is chosen.
    """
    try:
        listed = list(range(size)[rows]) if isinstance(rows, slice) else [_to_index(row) for row in rows]
    except TypeError:
        form = "give a slice such as [:16], or a list of indices"
        raise ArgumentTypeError(f"{name}[…]: {describe_value(rows)} chooses no images: {form}") from None
    if any(isinstance(row, bool) for row in listed):
        if len(listed) != size or not all(isinstance(row, bool) for row in listed):
            raise ArgumentValueError(
                f"{name}[…]: {len(listed)} entries, bools among them: give {size} bools, or indices"
            )
        listed = [number for number, row in enumerate(listed) if row]
    wrong = [row for row in listed if not -size <= row < size]
    if wrong:
        raise ArgumentValueError(f"{name}[…]: there is no image {wrong[0]} of {size}: give 0 to {size - 1}")
    if not listed:
        raise ArgumentValueError(f"{name}: no image is chosen of {size}: widen the range")
    return [range(size)[row] for row in listed]


def _to_index(row: Any) -> int:
    """Return an index as Python's number; a bool of numpy or torch as Python's."""
    if isinstance(row, bool) or str(getattr(row, "dtype", "")) in ("bool", "torch.bool"):
        return bool(row)
    return index(row)
